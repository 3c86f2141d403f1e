import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';

const model = 'node_modules/ultramem/demo-model';
const [{ prompt, greedy_ids: expected }] = JSON.parse(readFileSync(`${model}/io.json`, 'utf8')).greedy;

/** The command as npm linked it. */
function ultramem(...args) {
  const { status, stdout, stderr } = spawnSync('node_modules/.bin/ultramem', args, { encoding: 'utf8' });
  return { status, stdout, stderr };
}

it('ultramem --version', () => {
  const { version } = JSON.parse(readFileSync('node_modules/ultramem/package.json', 'utf8'));
  assert.deepEqual(ultramem('--version'), { status: 0, stdout: `${version}\n`, stderr: '' });
});

it('ultramem generate', () => {
  const length = ['--max-tokens', `${expected.length}`];
  const { status, stdout, stderr } = ultramem(
    'generate',
    '--model',
    model,
    '--prompt',
    prompt,
    ...length,
    '--json',
  );
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout).tokenIds, expected);
});

it('ultramem without a model says what is missing', () => {
  const { status, stderr } = ultramem('generate', '--model', 'nowhere', '--prompt', 'x');
  assert.equal(status, 1);
  assert.match(stderr, /^error CHECKPOINT_NOT_FOUND: .+; .+; .+$/m);
});

const hasCompiler = spawnSync('g++', ['--version']).status === 0;
it('the installation built the native kernels', { skip: !hasCompiler && 'no g++ here' }, () => {
  const { findings } = JSON.parse(ultramem('doctor', '--json').stdout);
  const native = findings.find(({ what }) => what === 'native');
  assert.match(native.text, /threads?$/, JSON.stringify(native));
});
