import { beforeAll, describe, expect, it } from 'vitest';
import { ERROR_CODES } from '../libs/protocol/src/error-codes.ts';
import { codeOnly } from './house-rules/code-only.ts';
import { errorCodeFindings } from './house-rules/error-code-findings.ts';
import { functionLengths, type LengthExceptions, lengthFindings } from './house-rules/length-findings.ts';
import { plantedProject } from './house-rules/planted.ts';
import { purityFindings } from './house-rules/purity-findings.ts';
import { type Project, readJson, readWorkspace, type TsConfig } from './house-rules/workspace.ts';

/** Longer than the rules allow, each with the reason. */
const LENGTH_EXCEPTIONS: LengthExceptions = new Map([
  ['libs/ultramem/src/memory-geometry.ts#sizes', 'one case per family, each a flat list of sizes'],
  ['libs/ultramem/src/model-config.ts#parseModelConfig', 'one flat list of settings'],
]);

describe('the sources', () => {
  let projects: Project[];

  beforeAll(() => {
    projects = readWorkspace();
  }, 60_000);

  it('that run anywhere touch no clock, chance, process or file', () => {
    expect(purityFindings(projects, readJson<TsConfig>('libs/tsconfig/pure.json'))).toEqual([]);
  });

  it('raise the error codes of the table, all of them and no others', () => {
    expect(
      errorCodeFindings(
        projects,
        ERROR_CODES.map(({ code }) => code),
      ),
    ).toEqual([]);
  });

  it('are short, and so are their functions', () => {
    expect(lengthFindings(projects, LENGTH_EXCEPTIONS)).toEqual([]);
  });
});

describe('planted impurity is found:', () => {
  const pure: TsConfig = { compilerOptions: { types: [], lib: ['ES2023'] } };

  function findings(text: string, path = 'src/x.ts', changes: Partial<Project> = {}): string[] {
    return purityFindings([plantedProject({ name: 'a', files: [{ path, text }], ...changes })], pure);
  }

  it.each([
    ["import { readFile } from 'node:fs/promises';", 'node:fs/promises'],
    ['const now = Date.now();', 'Date.now'],
    ['const now = new Date();', 'new Date'],
    ['const x = Math.random();', 'Math.random'],
    ['setTimeout(() => {}, 1);', 'setTimeout'],
    ['setInterval(() => {}, 1);', 'setInterval'],
    ['setImmediate(() => {});', 'setImmediate'],
    ['const { env } = process.env;', 'process'],
    ['const now = performance.now();', 'performance'],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the planted source is a template
    ['const text = `now ${Date.now()}`;', 'Date.now'],
  ])('%s', (text, what) => {
    expect(findings(text)).toEqual([`libs/a/src/x.ts uses ${what}`]);
  });

  it('but not in comments, strings, specs, other names, and where the runtime is node', () => {
    expect(
      findings("// Date.now()\n/* process.exit */\nthrow error('start another process. Then new Date');"),
    ).toEqual([]);
    expect(findings('const x = shard.process.length + performanceOf(x) + randomDate.now;')).toEqual([]);
    expect(findings('const now = Date.now();', 'src/x.spec.ts')).toEqual([]);
    expect(findings('const now = Date.now();', 'src/x.ts', { runtime: 'node' })).toEqual([]);
  });

  it('settings that let it compile', () => {
    expect(findings('', 'src/x.ts', { tsconfig: { extends: '@ultramem/tsconfig/node.json' } })).toEqual([
      'libs/a/tsconfig.json does not extend @ultramem/tsconfig/pure.json',
    ]);
    const own = { extends: '@ultramem/tsconfig/pure.json', compilerOptions: { types: ['node'] } };
    expect(findings('', 'src/x.ts', { tsconfig: own })).toEqual([
      'libs/a/tsconfig.json sets types or lib anew',
    ]);
    expect(purityFindings([], { compilerOptions: { types: ['node'], lib: ['ES2023', 'DOM'] } })).toEqual([
      '@ultramem/tsconfig/pure.json lets in type packages',
      '@ultramem/tsconfig/pure.json has a lib beyond the language',
    ]);
  });

  it('codeOnly keeps code and drops what it says', () => {
    expect(codeOnly('a(\'b // c\'); // d\ne /* f\n */ + "g";')).toBe("a('');  \ne   + '';");
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the source is a template
    expect(codeOnly('`a ${b} c ${d}`')).toBe('`b d`');
  });
});

describe('a planted error code is found:', () => {
  function findings(text: string, table: string[]): string[] {
    return errorCodeFindings([plantedProject({ name: 'a', files: [{ path: 'src/x.ts', text }] })], table);
  }

  it('that is not in the table, whatever makes the error', () => {
    const missing = 'libs/a/src/x.ts raises NEW_CODE, which is not in libs/protocol/src/error-codes.ts';
    expect(findings("throw new OperatingError('NEW_CODE', 'text');", [])).toEqual([missing]);
    expect(findings("throw new OperatingError(\n  'NEW_CODE',\n  'text',\n);", [])).toEqual([missing]);
    expect(findings("throw codedError('NEW_CODE', 'text');", [])).toEqual([missing]);
    expect(findings("return refusal('NEW_CODE', 'text');", [])).toEqual([missing]);
  });

  it('that nothing raises', () => {
    const never = 'OLD_CODE is in libs/protocol/src/error-codes.ts, but nothing raises it';
    expect(findings('', ['OLD_CODE'])).toEqual([never]);
    expect(findings("if (error.code === 'OLD_CODE') retry(); // 'OLD_CODE'", ['OLD_CODE'])).toEqual([never]);
    expect(findings("throw new OperatingError('OLD_CODE', 'text');", ['OLD_CODE'])).toEqual([]);
    expect(findings("send({ kind: 'failure', code: 'OLD_CODE' });", ['OLD_CODE'])).toEqual([]);
  });

  it('that is in the table twice', () => {
    expect(findings("throw codedError('CODE', 'text');", ['CODE', 'CODE'])).toEqual([
      'CODE is twice in libs/protocol/src/error-codes.ts',
    ]);
  });
});

describe('planted length is found:', () => {
  const body = (lineCount: number, indent = '  ') => `${indent}step();\n`.repeat(lineCount);

  it('of every kind of function, and of nothing else', () => {
    const text = [
      `export function plain(): void {\n${body(3)}}`,
      `export async function spread(\n  a: number,\n  b: number,\n): Promise<void> {\n${body(3)}}`,
      `const arrow = (): void => {\n  if (a) {\n${body(2, '    ')}  } else {\n${body(1, '    ')}  }\n};`,
      `const literal = () => ({\n  a,\n});`,
      `class Thing {\n  #hidden(a: number): void {\n${body(1, '    ')}  }\n  async open(\n    a: number,\n  ): Promise<void> {\n${body(1, '    ')}  }\n}`,
      `const data = {\n  a: 1,\n};`,
      `for (const a of b) {\n${body(3)}}`,
      `if (\n  a &&\n  b\n) {\n${body(3)}}`,
      `switch (a) {\n  case 1: {\n${body(1, '    ')}  }\n}`,
    ].join('\n');
    expect(functionLengths(text)).toEqual([
      { name: 'plain', lineCount: 5 },
      { name: 'spread', lineCount: 8 },
      { name: 'arrow', lineCount: 8 },
      { name: 'literal', lineCount: 3 },
      { name: '#hidden', lineCount: 3 },
      { name: 'open', lineCount: 5 },
    ]);
  });

  function findings(text: string, exceptions: LengthExceptions = new Map()): string[] {
    return lengthFindings([plantedProject({ name: 'a', files: [{ path: 'src/x.ts', text }] })], exceptions);
  }

  it('from 71 lines of a function and 401 of a file on', () => {
    expect(findings(`function f() {\n${body(68)}}`)).toEqual([]);
    expect(findings(`function f() {\n${body(69)}}`)).toEqual([
      'libs/a/src/x.ts#f has 71 lines, 70 are allowed',
    ]);
    expect(findings(body(400, ''))).toEqual([]);
    expect(findings(body(401, ''))).toEqual(['libs/a/src/x.ts has 401 lines, 400 are allowed']);
  });

  it('unless there is a reason, which must still hold', () => {
    const exceptions = new Map([['libs/a/src/x.ts#f', 'one long table']]);
    expect(findings(`function f() {\n${body(69)}}`, exceptions)).toEqual([]);
    expect(findings('', exceptions)).toEqual(['libs/a/src/x.ts#f is excepted, but no longer too long']);
  });
});
