// What `npm start` and `npm test` need first: packages installed from the lock file, programs built. Plain JavaScript on Node's
// own modules, because nothing is installed yet when it starts.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { notBuilt, readStatus } from '../../libs/kernels-native/native/build.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19))
  fail(
    'NODE_VERSION',
    `this is Node ${process.versions.node}; expected 20.19 or later; install a newer Node`,
  );

const installed = `${root}node_modules/.package-lock.json`;
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(`${root}package-lock.json`).mtimeMs)
  npm(['ci'], 'installing packages (once)');
npm(['run', 'build'], 'building');
// The build goes on without a compiler, and what it says of that is not shown.
const native = readStatus();
if (native?.ok === false) process.stderr.write(`${notBuilt(native)}\n`);

function npm(args, what) {
  process.stderr.write(`${what} ...\n`);
  // The npm that runs this script, or the one on the path when it was started by hand.
  const [command, ...before] = process.env.npm_execpath?.endsWith('.js')
    ? [process.execPath, process.env.npm_execpath]
    : ['npm'];
  const run = spawnSync(command, [...before, ...args], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    shell: command === 'npm' && process.platform === 'win32',
  });
  if (run.status === 0) return;
  process.stderr.write(`${run.stdout ?? ''}${run.stderr ?? run.error?.message ?? ''}\n`);
  fail(
    'SETUP_FAILED',
    `npm ${args.join(' ')} failed; expected it to end with 0; read its output above and try again`,
  );
}

function fail(code, message) {
  process.stderr.write(`error ${code}: ${message}\n`);
  process.exit(1);
}
