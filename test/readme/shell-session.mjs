import { spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const COMMAND_LIMIT_MS = 240_000;
const UNTIL_LIMIT_MS = 120_000;
const STOP_GRACE_MS = 10_000;
const OUTPUT_KEPT = 64 * 1024;

/**
 * Runs commands one after the other as in one terminal: what one does to the working directory and to exported variables, the next
 * one sees. `stateFolder` keeps that between them.
 */
export function shellSession(directory, stateFolder) {
  const state = join(stateFolder, 'state.sh');
  const background = [];
  const env = { ...process.env, NO_COLOR: '1' };
  for (const name of Object.keys(env))
    if (/^(npm_(?!config_)|NODE_OPTIONS$|VITEST)/i.test(name)) delete env[name];
  writeFileSync(state, `cd ${quoted(directory)}\n`);
  const start = (command, keepsState) => {
    const keep = keepsState
      ? `\nstatus=$?; { export -p; printf 'cd %q\\n' "$PWD"; } >${quoted(state)}; exit $status`
      : '';
    return startBash(`. ${quoted(state)}\n${command}${keep}`, env);
  };
  return {
    /** Resolves with `{ status, output }`; status is a number, or says what else ended it. */
    async run(command) {
      const shell = start(command, true);
      const status = await Promise.race([
        shell.ended,
        after(COMMAND_LIMIT_MS, `not within ${COMMAND_LIMIT_MS / 1000} s`),
      ]);
      if (typeof status === 'string') await stop(shell);
      return { status, output: shell.output() };
    },
    /** The same with status 0 once it has printed `text`; it runs on until `end`. */
    async startInBackground(command, text, limitMs = UNTIL_LIMIT_MS) {
      const shell = start(command, false);
      const late = after(limitMs, `did not print ${JSON.stringify(text)} within ${limitMs / 1000} s`);
      const early = shell.ended.then(
        (status) => `ended with ${status} before it printed ${JSON.stringify(text)}`,
      );
      const status = await Promise.race([shell.printed(text).then(() => 0), early, late]);
      if (status === 0) background.push({ command, shell });
      else await stop(shell);
      return { status, output: shell.output() };
    },
    /** Stops what runs in the background. Returns the commands that had ended badly before, with their status. */
    async end() {
      const bad = [];
      for (const { command, shell } of background.splice(0).reverse()) {
        const status = await Promise.race([
          shell.ended,
          new Promise((resolve) => setImmediate(resolve, null)),
        ]);
        if (status !== null && status !== 0) bad.push({ command, status, output: shell.output() });
        await stop(shell);
      }
      rmSync(state, { force: true });
      return bad;
    },
  };
}

/** One bash in a process group of its own, so that all it starts can be stopped. */
function startBash(script, env) {
  const child = spawn('bash', ['-c', script], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const listeners = new Set();
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => {
      output = (output + text).slice(-OUTPUT_KEPT);
      for (const listener of listeners) listener();
    });
  const ended = new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    // Not 'close': what it left running may hold the pipes open.
    child.on('exit', (code, signal) => setImmediate(() => resolve(code ?? signal)));
  });
  const printed = (text) =>
    new Promise((resolve) => {
      listeners.add(() => output.includes(text) && resolve());
    });
  return { pid: child.pid, ended, printed, output: () => output };
}

async function stop({ pid, ended }) {
  if (!signalGroup(pid, 'SIGTERM')) return;
  await Promise.race([ended, after(STOP_GRACE_MS)]);
  signalGroup(pid, 'SIGKILL');
}

function signalGroup(pid, signal) {
  try {
    return process.kill(-pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
    return false;
  }
}

function after(ms, value) {
  return new Promise((resolve) => setTimeout(resolve, ms, value).unref());
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
