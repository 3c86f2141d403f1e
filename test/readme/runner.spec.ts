import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { blocksOf } from './blocks-of.mjs';

const RUNNER = fileURLToPath(new URL('run.mjs', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'readme-spec-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function run(readme: string) {
  writeFileSync(join(folder, 'README.md'), readme);
  const { status, stdout } = spawnSync(process.execPath, [RUNNER, folder], { encoding: 'utf8' });
  const lines = stdout.trimEnd().split('\n');
  return { status, lines: lines.map((line) => line.replace(/ +\d+\.\d s/, '')) };
}

const sh = (...commands: string[]) => `\`\`\`sh\n${commands.join('\n')}\n\`\`\`\n`;

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('the commands of a README', () => {
  it('run in order where it is, as in one terminal', () => {
    const readme = `# A\n${sh('mkdir made', 'cd made')}text\n${sh('export NAME=value', `echo "$NAME" >file && test "$(cat ../made/file)" = value`)}`;
    const { status, lines } = run(readme);
    expect(lines).toEqual([
      'foreground   0  mkdir made',
      'foreground   0  cd made',
      'foreground   0  export NAME=value',
      'foreground   0  echo "$NAME" >file && test "$(cat ../made/file)" = value',
      'PASS',
    ]);
    expect(status).toBe(0);
    expect(existsSync(join(folder, 'made', 'file'))).toBe(true);
  });

  it('fail together when one fails, and the output of that one is shown', () => {
    const { status, lines } = run(sh('echo the reason; exit 3', 'true'));
    expect(lines).toEqual([
      'foreground   3  echo the reason; exit 3',
      '    the reason',
      'foreground   0  true',
      'FAIL: 1 failed',
    ]);
    expect(status).toBe(1);
  });

  it('go on when a background block has printed its text, and leave nothing running', () => {
    const pidFile = join(folder, 'pid');
    const server = `echo $$ >${pidFile}; sleep 0.2; touch up; echo it is up; sleep 100; echo never`;
    const readme = `<!-- run: background until "is up" -->\n${sh(server)}\n${sh('test -e up')}`;
    const { status, lines } = run(readme);
    expect(lines).toEqual([`background   0  ${server}`, 'foreground   0  test -e up', 'PASS']);
    expect(status).toBe(0);
    expect(lives(Number(readFileSync(pidFile, 'utf8')))).toBe(false);
  });

  it('fail when a background block ends before it has printed its text', () => {
    const { status, lines } = run(`<!-- run: background until "up" -->\n${sh('echo no; exit 4')}`);
    expect(lines).toEqual([
      'background ended with 4 before it printed "up"  echo no; exit 4',
      '    no',
      'FAIL: 1 failed',
    ]);
    expect(status).toBe(1);
  });

  it('fail when a background block ends badly later', () => {
    const pidFile = join(folder, 'pid');
    const server = `echo $$ >${pidFile}; echo up; sleep 0.1; exit 5`;
    const readme = `<!-- run: background until "up" -->\n${sh(server)}${sh(`while kill -0 $(cat ${pidFile}); do sleep 0.01; done`)}`;
    const { status, lines } = run(readme);
    expect(lines).toContain(`background   5  ${server}`);
    expect(status).toBe(1);
  });

  it('are listed when they are skipped', () => {
    const { status, lines } = run(
      `<!-- run: skip because it takes a GPU -->\n\n${sh('false')}\n${sh('true')}`,
    );
    expect(lines).toEqual(['skipped: it takes a GPU: false', 'foreground   0  true', 'PASS']);
    expect(status).toBe(0);
  });

  it.each([
    ['no block', '# nothing\n```js\nfalse\n```\n'],
    ['only skipped ones', `<!-- run: skip because x -->\n${sh('true')}`],
  ])('fail when there is %s', (_, readme) => {
    const { status, lines } = run(readme);
    expect(lines.slice(-2)).toEqual(['error: README.md has no sh block to run', 'FAIL: 1 failed']);
    expect(status).toBe(1);
  });
});

describe('blocks', () => {
  it('have commands of several lines, comments and here-documents, and may stand in a list', () => {
    const readme = [
      '1. text',
      '   ```sh',
      '   # why',
      '   a \\',
      '     b',
      '',
      "   cat <<'END' >f",
      '   # text',
      '   END',
      '   c',
      '   ```',
    ].join('\n');
    expect(blocksOf(readme)).toEqual([
      { line: 2, kind: 'foreground', commands: ['a \\\n  b', "cat <<'END' >f\n# text\nEND", 'c'] },
    ]);
  });

  it.each([
    [
      '<!-- run: later -->\n```sh\na\n```',
      'line 1: <!-- run: later --> is not understood; expected run: background until "TEXT", or run: skip because REASON',
    ],
    [
      '<!-- run: skip because x -->\ntext\n```sh\na\n```',
      'line 1: a run comment stands before "text"; expected a sh block',
    ],
    ['<!-- run: skip because x -->', 'line 1: a run comment has no sh block'],
    ['```sh\na', 'line 1: a block has no end'],
  ])('%j is refused', (readme, message) => {
    expect(() => blocksOf(readme)).toThrow(message);
  });
});
