import { OperatingError } from '@ultramem/invariant';
import { type Command, CommanderError } from 'commander';

/** Wrong usage: the command was not understood. */
export const EXIT_USAGE = 2;
/** Everything else that is not success. */
export const EXIT_FAILURE = 1;

/**
 * Parses and runs a command. Failures end in one line of stderr, `error CODE: what was wrong; what was expected; what to do`, and
 * exit code 2 for wrong usage, 1 for the rest. A defect of this program shows its stack.
 */
export async function runProgram(program: Command, argv: readonly string[]): Promise<void> {
  prepare(program);
  try {
    await program.parseAsync(knownOrBare(program, argv), { from: 'user' });
  } catch (error) {
    process.exitCode = reportFailure(error, program, argv[0]);
  }
}

/** Writes the error line (or stack) and gives the exit code. */
export function reportFailure(error: unknown, program: Command | null = null, verb = ''): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0; // --help, --version
    process.stderr.write(`error USAGE: ${usageMessage(error, program, verb)}\n`);
    return EXIT_USAGE;
  }
  if (error instanceof OperatingError) {
    process.stderr.write(`error ${error.code}: ${oneLine(error.message)}\n`);
    return error.code === 'USAGE' ? EXIT_USAGE : EXIT_FAILURE;
  }
  process.stderr.write(
    `error INTERNAL: ${oneLine(error instanceof Error ? error.message : String(error))}; expected no such case; please report it with the lines below\n`,
  );
  process.stderr.write(`${error instanceof Error ? error.stack : ''}\n`);
  return EXIT_FAILURE;
}

/** For `ultramem inspect | head -3`: who has seen enough wants neither the rest nor a stack. */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    stopOnDefect(error);
  });
}

/** A defect was seen outside any call that could report it: nothing that runs on can be trusted. */
export function stopOnDefect(error: unknown): void {
  process.exit(reportFailure(error));
}

function usageMessage(error: CommanderError, program: Command | null, verb: string): string {
  const name = program?.name() ?? 'the command';
  if (error.code === 'commander.help')
    return `no command was given; expected ${program?.commands.map((child) => child.name()).join(', ')}; see ${name} --help`;
  const what = error.message
    .replace(/^error: /, '')
    .replace(/\.?\s*(\(.*\))?$/s, (end) => end.replace(/[.\n]/g, ' ').trimEnd());
  const known = program?.commands.some((child) => child.name() === verb) ? ` ${verb}` : '';
  return `${oneLine(what)}; expected the flags of ${name}${known} --help; correct the command`;
}

/** An unknown command alone, without the `help` or `--help` for which commander would show the program's and succeed. */
function knownOrBare(program: Command, argv: readonly string[]): string[] {
  const name = argv[0] === 'help' ? argv[1] : argv[0];
  const isUnknown =
    name !== undefined &&
    name !== 'help' &&
    !name.startsWith('-') &&
    program.commands.length > 0 &&
    !program.commands.some((child) => child.name() === name || child.aliases().includes(name));
  return isUnknown ? [name] : [...argv];
}

function prepare(command: Command): void {
  command
    .exitOverride()
    .configureOutput({ outputError: () => {}, writeErr: () => {} })
    .showSuggestionAfterError(true);
  for (const child of command.commands) prepare(child);
}

function oneLine(text: string): string {
  // Parts of it may come from a peer: nothing but text reaches the terminal.
  return text
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\p{Cc}/gu, ' ')
    .trim();
}
