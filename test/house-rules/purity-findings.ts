import { codeOnly } from './code-only.ts';
import { importsOf } from './imports-of.ts';
import { isSpec, type Project, type TsConfig } from './workspace.ts';

/** What makes a run unrepeatable, or ties it to one platform. Clock, Random and Transport are arguments instead. */
const FORBIDDEN: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['Date.now', /\bDate\s*\.\s*now\b/],
  ['new Date', /\bnew\s+Date\b/],
  ['Math.random', /\bMath\s*\.\s*random\b/],
  ['setTimeout', /\bsetTimeout\b/],
  ['setInterval', /\bsetInterval\b/],
  ['setImmediate', /\bsetImmediate\b/],
  ['process', /(?<![.\w])process\s*\./],
  ['performance', /(?<![.\w])performance\b/],
];

const PURE_CONFIG = '@ultramem/tsconfig/pure.json';

/** Libs that run anywhere: sources that touch the world, and settings that would let them compile. Specs may do as they like. */
export function purityFindings(projects: readonly Project[], pureConfig: TsConfig): string[] {
  const findings: string[] = [];
  const { types, lib } = pureConfig.compilerOptions ?? {};
  if (types === undefined || types.length > 0) findings.push(`${PURE_CONFIG} lets in type packages`);
  if (lib === undefined || lib.some((name) => !/^ES\d+$/i.test(name)))
    findings.push(`${PURE_CONFIG} has a lib beyond the language`);
  for (const { root, runtime, tsconfig, files } of projects) {
    if (runtime !== 'any') continue;
    if (tsconfig?.extends !== PURE_CONFIG)
      findings.push(`${root}/tsconfig.json does not extend ${PURE_CONFIG}`);
    if (tsconfig?.compilerOptions?.types !== undefined || tsconfig?.compilerOptions?.lib !== undefined)
      findings.push(`${root}/tsconfig.json sets types or lib anew`);
    for (const file of files.filter((source) => !isSpec(source))) {
      const code = codeOnly(file.text);
      const builtIn = importsOf(file.text).filter((specifier) => specifier.startsWith('node:'));
      const used = FORBIDDEN.flatMap(([name, pattern]) => (pattern.test(code) ? [name] : []));
      findings.push(...[...builtIn, ...used].map((what) => `${root}/${file.path} uses ${what}`));
    }
  }
  return findings;
}
