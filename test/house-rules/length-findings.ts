import { isSpec, type Project } from './workspace.ts';

const FILE_LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;

/** Sources that may be longer, `path` or `path#function`, and why. */
export type LengthExceptions = ReadonlyMap<string, string>;

/** Files and functions that are too long, and exceptions that nothing needs any more. Specs are not measured. */
export function lengthFindings(projects: readonly Project[], exceptions: LengthExceptions): string[] {
  const needed = new Set<string>();
  const findings: string[] = [];
  const measure = (what: string, lineCount: number, max: number) => {
    if (lineCount <= max) return;
    if (exceptions.has(what)) needed.add(what);
    else findings.push(`${what} has ${lineCount} lines, ${max} are allowed`);
  };
  for (const { root, files } of projects) {
    for (const file of files.filter((source) => !isSpec(source))) {
      const path = `${root}/${file.path}`;
      measure(path, file.text.trimEnd().split('\n').length, FILE_LINES_MAX);
      for (const { name, lineCount } of functionLengths(file.text))
        measure(`${path}#${name}`, lineCount, FUNCTION_LINES_MAX);
    }
  }
  const idle = [...exceptions.keys()].filter((what) => !needed.has(what));
  return [...findings, ...idle.map((what) => `${what} is excepted, but no longer too long`)];
}

const NO_FUNCTION =
  /^(?:\}\s*)?(?:else|if|for|while|switch|try|catch|do|return|class|interface|type|export class)\b/;
const METHOD = /^(?:(?:static|override|async|get|set) )*\*?[#\w$]+(?:<.*>)?\(.*\)(?:: .+)? \{$/;

/**
 * Functions with a block or an object literal as body, from the first line of the signature to the closing brace. Relies on the
 * formatter: the brace that closes a body is the first one that stands as far to the right as the line that opens it.
 */
export function functionLengths(text: string): { name: string; lineCount: number }[] {
  const lines = text.split('\n');
  const indentOf = (line: string) => line.length - line.trimStart().length;
  return lines.flatMap((line, at) => {
    if (!/\{$/.test(line)) return [];
    const sameIndent = (other: string) => other.trim() !== '' && indentOf(other) === indentOf(line);
    let first = at;
    while (first > 0 && /^[)}\]]/.test((lines[first] ?? '').trim())) {
      do first--;
      while (first > 0 && !sameIndent(lines[first] ?? ''));
    }
    const opening = (lines[first] ?? '').trim();
    const signature = line.trim();
    const isFunction =
      /=> \(?\{$/.test(signature) ||
      /\bfunction\b/.test(opening) ||
      METHOD.test(signature) ||
      /^\)(?:: .+)? \{$/.test(signature);
    if (!isFunction || (NO_FUNCTION.test(opening) && !/=> \(?\{$/.test(signature))) return [];
    const length = lines
      .slice(at + 1)
      .findIndex((other) => sameIndent(other) && other.trim().startsWith('}'));
    return length < 0 ? [] : [{ name: nameOf(opening), lineCount: at + 1 + length - first + 1 }];
  });
}

function nameOf(opening: string): string {
  const named =
    /\bfunction\*? ([\w$]+)/.exec(opening) ??
    /\b(?:const|let) ([\w$]+)/.exec(opening) ??
    /^(?:(?:static|override|async|get|set) )*\*?([#\w$]+)/.exec(opening);
  return named?.[1] ?? opening;
}
