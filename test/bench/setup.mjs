// `npm run bench:setup`: PyTorch in a virtual environment of its own, which the benchmarks find. Run again, it does nothing.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const TORCH = '2.15.0';
const NUMPY = 'numpy<3';
const folder = fileURLToPath(new URL('./.peers', import.meta.url));
const done = join(folder, 'set-up');
const python = join(folder, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');

const [unknown] = process.argv.slice(2);
if (unknown !== undefined) fail('USAGE', `${unknown} was given; expected nothing; leave it out`, 2);

const own = process.env.ULTRAMEM_PEERS_PYTHON;
if (own !== undefined) check(own, 'ULTRAMEM_PEERS_PYTHON');
else if (existsSync(done)) check(python, folder);
else install();

function install() {
  const base = ['python3', 'python'].find((name) => run(name, ['--version']).status === 0);
  if (base === undefined)
    fail(
      'PEERS_SETUP_FAILED',
      'there is no python3; expected Python 3.10 or newer with venv and pip; install it',
    );
  say('making a virtual environment');
  must(run(base, ['-m', 'venv', folder]), 'install the venv module of Python (Debian: python3-venv)');
  // A wheel without CUDA is a tenth of the size, but not every index has it.
  say(`installing PyTorch ${TORCH} (minutes, up to 6 GB)`);
  const pip = (torch) =>
    run(python, ['-m', 'pip', 'install', '--disable-pip-version-check', '--quiet', torch, NUMPY]);
  if (pip(`torch==${TORCH}+cpu`).status !== 0)
    must(
      pip(`torch==${TORCH}`),
      'check the network and the index that pip is configured with, and run it again',
    );
  check(python, folder);
  mkdirSync(folder, { recursive: true });
  writeFileSync(done, `${TORCH}\n`);
}

function check(interpreter, from) {
  const asked = run(interpreter, ['-c', 'import torch; print(torch.__version__)']);
  if (asked.status !== 0)
    fail(
      'PEERS_SETUP_FAILED',
      `${interpreter} (from ${from}) cannot import torch (${lastLine(asked)}); expected PyTorch ${TORCH}; remove the folder, or unset ULTRAMEM_PEERS_PYTHON, and run npm run bench:setup again`,
    );
  const version = asked.stdout.trim();
  if (!version.startsWith(TORCH)) say(`note: PyTorch is ${version}, the figures were taken with ${TORCH}`);
  say(`PyTorch ${version} is ready; measure with: npm run bench`);
}

function run(command, args) {
  return spawnSync(command, args, { encoding: 'utf8', maxBuffer: 2 ** 26 });
}

function must(result, remedy) {
  if (result.status !== 0)
    fail(
      'PEERS_SETUP_FAILED',
      `setting up the peers failed (${lastLine(result)}); expected it to end with 0; ${remedy}`,
    );
}

function lastLine({ stderr, error }) {
  return (stderr ?? error?.message ?? '').trim().split('\n').at(-1) ?? '';
}

function say(text) {
  process.stderr.write(`${text}\n`);
}

function fail(code, message, status = 1) {
  process.stderr.write(`error ${code}: ${message}\n`);
  process.exit(status);
}
