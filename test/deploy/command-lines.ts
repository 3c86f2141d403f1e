import { parse } from 'yaml';

/** One call of the CLI as a deploy file makes it. */
export interface CommandLine {
  file: string;
  /** The first word after `ultramem`; a flag where there is no verb, as in `ultramem --help`. */
  verb: string;
  /** `--model` and the like, without values. */
  flags: string[];
}

/** Every `ultramem ...` in a unit, a compose file or the code of a Markdown file. */
export function commandLines(file: string, text: string): CommandLine[] {
  if (file.endsWith('.service')) return unitCommands(text).map((words) => commandLine(file, words));
  if (file.endsWith('.yaml')) return composeCommands(text).map((words) => commandLine(file, words));
  if (file.endsWith('.md')) return markdownCommands(text).map((words) => commandLine(file, words));
  return [];
}

/** What is wrong with the calls, given the flags of each verb; empty when nothing is. */
export function commandFindings(
  lines: readonly CommandLine[],
  flagsOf: (verb: string) => ReadonlySet<string>,
): string[] {
  return lines.flatMap(({ file, verb, flags }) => {
    const known = flagsOf(verb);
    return flags
      .filter((flag) => !known.has(flag))
      .map((flag) => `${file}: \`ultramem ${verb}\` has no ${flag}`);
  });
}

function commandLine(file: string, words: readonly string[]): CommandLine {
  const [verb = '', ...rest] = words;
  const flags = rest.filter((word) => word.startsWith('--')).map((word) => word.replace(/=.*/, ''));
  return { file, verb, flags };
}

function unitCommands(text: string): string[][] {
  return [...text.matchAll(/^Exec\w+=(.*)$/gm)].map(([, command = '']) => afterProgram(command.split(/\s+/)));
}

function composeCommands(text: string): string[][] {
  const compose = parse(text, { merge: true }) as { services: Record<string, ComposeCommands> };
  return Object.values(compose.services).flatMap(({ command, healthcheck }) => [
    ...(command === undefined ? [] : [command]),
    ...(healthcheck === undefined ? [] : [afterProgram(healthcheck.test)]),
  ]);
}

interface ComposeCommands {
  /** What the image's entry point, `ultramem`, is called with. */
  command?: string[];
  healthcheck?: { test: string[] };
}

function markdownCommands(text: string): string[][] {
  const fenced = [...text.matchAll(/^```\w*\n(.*?)^```/gms)].map(([, code = '']) => code);
  const inline = [...text.replace(/^```\w*\n.*?^```/gms, '').matchAll(/`([^`]+)`/g)].map(
    ([, code = '']) => code,
  );
  return [...fenced, ...inline]
    .flatMap((code) => code.replaceAll(/\\\n\s*/g, ' ').split('\n'))
    .map((line) => line.replace(/\s#.*/, '').split(/\s+/))
    .flatMap((words) => (words.slice(0, -1).some(isProgram) ? [afterProgram(words)] : []))
    .filter(([verb = '']) => /^(--)?[a-z]+$/.test(verb));
}

function afterProgram(words: readonly string[]): string[] {
  return words.slice(words.findIndex(isProgram) + 1);
}

function isProgram(word: string): boolean {
  return word === 'ultramem' || word.endsWith('/ultramem');
}
