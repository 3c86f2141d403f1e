import { withoutComments } from './code-only.ts';
import { isSpec, type Project } from './workspace.ts';

/** The first argument of a constructor or function whose name says that it makes an error. */
const RAISED = /\b(?:\w*[eE]rror|fail\w*|refus\w*|invalid\w*)\(\s*'([A-Z][A-Z0-9_]+)'/g;
const COMPARED = /(?:[=!]==?\s*|\bcase\s+)'[A-Z][A-Z0-9_]+'/g;
const TABLE_PATH = 'libs/protocol/src/error-codes.ts';

/** Codes that are raised but not in the table, twice in the table, or in the table but only ever compared with. */
export function errorCodeFindings(projects: readonly Project[], table: readonly string[]): string[] {
  const known = new Set(table);
  const mentioned = new Set<string>();
  const findings = table
    .filter((code, i) => table.indexOf(code) !== i)
    .map((code) => `${code} is twice in ${TABLE_PATH}`);
  for (const { root, files } of projects) {
    for (const file of files) {
      const where = `${root}/${file.path}`;
      if (isSpec(file) || where === TABLE_PATH) continue;
      const code = withoutComments(file.text);
      for (const [, raised = ''] of code.matchAll(RAISED)) {
        if (!known.has(raised)) findings.push(`${where} raises ${raised}, which is not in ${TABLE_PATH}`);
      }
      for (const [, literal = ''] of code.replace(COMPARED, '').matchAll(/'([A-Z][A-Z0-9_]+)'/g))
        mentioned.add(literal);
    }
  }
  const never = [...known].filter((code) => !mentioned.has(code));
  return [...findings, ...never.map((code) => `${code} is in ${TABLE_PATH}, but nothing raises it`)];
}
