import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';

const stepsPath = fileURLToPath(new URL('../../.ci/steps.sh', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'steps-'));
afterAll(() => rmSync(folder, { recursive: true }));

function run(script: string): { status: number | null; lines: string[] } {
  const prelude = `set -uo pipefail; deadline_seconds=60; . '${stepsPath}'\n`;
  const { status, stdout } = spawnSync('bash', ['-c', prelude + script], { encoding: 'utf8' });
  return { status, lines: stdout.trimEnd().split('\n') };
}

function reportOf(name: string, report: object): string {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(report));
  return path;
}

it('passes when every step and every test passes', () => {
  const report = reportOf('good.json', {
    numTotalTests: 5,
    numPassedTests: 4,
    numFailedTests: 0,
    testResults: [],
  });
  const { status, lines } = run(
    `step one 9 true; test_step two 9 '${folder}/r.json' cp '${report}' '${folder}/r.json'; finish`,
  );
  expect(lines.at(-1)).toBe('6 passed, 0 failed');
  expect(lines).toContain('steps: 2 passed, 0 failed; tests: 4 passed, 0 failed, 1 skipped');
  expect(status).toBe(0);
});

it('goes on after a failing step, shows its output and fails in the end', () => {
  const { status, lines } = run(`step bad 9 bash -c 'echo the reason; exit 3'; step good 9 true; finish`);
  expect(lines).toContain('the reason');
  expect(lines).toContain('-- bad failed with status 3');
  expect(lines.at(-1)).toBe('1 passed, 1 failed');
  expect(status).toBe(1);
});

it('hides the output of a step that passes', () => {
  expect(run('step good 9 echo noise; finish').lines).not.toContain('noise');
});

it('can stop at a failing step', () => {
  const { status, lines } = run('step bad 9 false || finish; step never 9 true; finish');
  expect(lines.at(-1)).toBe('0 passed, 1 failed');
  expect(status).toBe(1);
});

it('counts failing tests, and a test file that does not load, beside the step', () => {
  const unloadable = { status: 'failed', assertionResults: [] };
  const report = reportOf('bad.json', {
    numTotalTests: 3,
    numPassedTests: 1,
    numFailedTests: 2,
    testResults: [unloadable],
  });
  const script = `test_step t 9 '${folder}/r.json' bash -c "cp '${report}' '${folder}/r.json'; exit 1"; finish`;
  expect(run(script).lines.at(-1)).toBe('1 passed, 4 failed');
});

it.each([
  ['no report', 'true'],
  ['a report without tests', `cp '${reportOf('none.json', { numTotalTests: 0 })}' '${folder}/r.json'`],
])('fails a test step that leaves %s although it passed', (_, command) => {
  const { status, lines } = run(`test_step t 9 '${folder}/r.json' ${command}; finish`);
  expect(lines.at(-1)).toBe('1 passed, 1 failed');
  expect(status).toBe(1);
});

it('does not take an old report for a new one', () => {
  const report = reportOf('old.json', {
    numTotalTests: 1,
    numPassedTests: 1,
    numFailedTests: 0,
    testResults: [],
  });
  expect(run(`test_step t 9 '${report}' true; finish`).lines.at(-1)).toBe('1 passed, 1 failed');
});

it('stops a step at its limit, and starts none when the time of the whole run is used up', () => {
  const { status, lines } = run('step slow 1 sleep 30; deadline_seconds=1; step late 9 true; finish');
  expect(lines).toContain('-- slow failed with status 124');
  expect(lines).toContain('no time was left to start this step');
  expect(lines.at(-1)).toBe('0 passed, 2 failed');
  expect(status).toBe(1);
});
