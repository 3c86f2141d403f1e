// Runs the commands of README.md in order, in the folder that holds it: what it says must work for whoever does just that. In a clean
// checkout it is what installs and builds. node test/readme/run.mjs [FOLDER]. Prints one line for each command; exits 0 only when all
// ended with 0.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { blocksOf } from './blocks-of.mjs';
import { shellSession } from './shell-session.mjs';

const repository = resolve(process.argv[2] ?? fileURLToPath(new URL('../..', import.meta.url)));
const stateFolder = mkdtempSync(join(tmpdir(), 'readme-'));
let failed = 0;

function report(how, ms, command, { status, output }) {
  const [first, ...more] = command.split('\n');
  const shown = more.length > 0 ? `${first} ...` : first;
  console.log(
    `${how.padEnd(10)} ${`${status}`.padStart(3)} ${(ms / 1000).toFixed(1).padStart(6)} s  ${shown}`,
  );
  if (status === 0) return;
  failed++;
  for (const line of output.trimEnd().split('\n').slice(-40)) console.log(`    ${line}`);
}

async function runBlock(session, block) {
  for (const command of block.commands) {
    if (block.kind === 'skip') {
      console.log(`skipped: ${block.reason}: ${command.split('\n')[0]}`);
      continue;
    }
    const startMs = performance.now();
    const result =
      block.kind === 'background'
        ? await session.startInBackground(command, block.until)
        : await session.run(command);
    report(block.kind, performance.now() - startMs, command, result);
  }
}

const session = shellSession(repository, stateFolder);
const end = async () => {
  for (const { command, status, output } of await session.end())
    report('background', 0, command, { status, output });
  rmSync(stateFolder, { recursive: true, force: true });
};
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => void end().finally(() => process.exit(1)));
try {
  const blocks = blocksOf(readFileSync(join(repository, 'README.md'), 'utf8'));
  if (!blocks.some(({ kind }) => kind !== 'skip')) throw new Error('README.md has no sh block to run');
  for (const block of blocks) await runBlock(session, block);
} catch (error) {
  failed++;
  console.log(`error: ${error.message}`);
} finally {
  await end();
}
console.log(failed > 0 ? `FAIL: ${failed} failed` : 'PASS');
process.exit(failed > 0 ? 1 : 0);
