import { withoutComments } from './code-only.ts';
import type { Project } from './workspace.ts';

const INDEX_LINES_MAX = 40;
const NAMED_EXPORT = /export (?:type )?\{[^}]*\} from '[^']+';/g;

/** Public doors that are long, that export whatever there is, or that do something. */
export function indexFindings(projects: readonly Project[]): string[] {
  return projects.flatMap((project) => {
    const doors = project.files.filter(({ path }) => /(^|\/)index\.ts$/.test(path));
    return doors.flatMap(({ path, text }) => {
      const where = `${project.root}/${path}`;
      const lineCount = text.trimEnd().split('\n').length;
      const code = withoutComments(text);
      const findings: string[] = [];
      if (lineCount > INDEX_LINES_MAX)
        findings.push(`${where} has ${lineCount} lines, ${INDEX_LINES_MAX} are allowed`);
      if (/export \*/.test(code)) findings.push(`${where} has export *, names are to be written out`);
      else if (code.replace(NAMED_EXPORT, '').trim() !== '')
        findings.push(`${where} does more than to export names from other files`);
      return findings;
    });
  });
}
