import { OperatingError } from '@ultramem/invariant';
import { Command } from 'commander';
import { afterEach, describe, expect, it } from 'vitest';
import { captured } from '../test/captured.ts';
import { reportFailure, runProgram } from './run-program.ts';

afterEach(() => {
  process.exitCode = undefined;
});

/** A program of two commands, one of which does what it is given. */
async function run(argv: string[], action: () => void | Promise<void> = () => {}) {
  const program = new Command('tool').version('1.2.3');
  program.addCommand(
    new Command('serve').requiredOption('--model <dir>').option('--port <number>').action(action),
  );
  program.addCommand(new Command('status').alias('st').action(action));
  const written = await captured(() => runProgram(program, argv));
  return { ...written, exitCode: process.exitCode ?? 0 };
}

describe('wrong usage is one line and exit code 2:', () => {
  it.each([
    [
      'an unknown option',
      ['serve', '--model', 'x', '--prot', '1'],
      "unknown option '--prot' (Did you mean --port?)",
    ],
    ['an option without its value', ['serve', '--model'], "option '--model <dir>' argument missing"],
    ['a missing option', ['serve'], "required option '--model <dir>' not specified"],
    [
      'an argument too many',
      ['status', 'x'],
      "too many arguments for 'status'. Expected 0 arguments but got 1",
    ],
    ['an unknown command', ['sttus'], "unknown command 'sttus' (Did you mean status?)"],
    [
      'an unknown command whose help is asked for',
      ['sttus', '--help'],
      "unknown command 'sttus' (Did you mean status?)",
    ],
    ['the same with -h', ['nothing', '-h'], "unknown command 'nothing'"],
    ['help for an unknown command', ['help', 'nothing'], "unknown command 'nothing'"],
    ['an unknown option of the program', ['--nothing'], "unknown option '--nothing'"],
  ])('%s', async (_, argv, what) => {
    const { stdout, stderr, exitCode } = await run(argv);
    const command = ['serve', 'status'].includes(argv[0]) ? `tool ${argv[0]}` : 'tool';
    expect(stderr).toBe(
      `error USAGE: ${what}; expected the flags of ${command} --help; correct the command\n`,
    );
    expect([stdout, exitCode]).toEqual(['', 2]);
  });

  it('no command', async () => {
    expect(await run([])).toEqual({
      stdout: '',
      stderr: 'error USAGE: no command was given; expected serve, status; see tool --help\n',
      exitCode: 2,
    });
  });

  it('a value that its parser refuses', async () => {
    const { stderr, exitCode } = await run(['st'], () => {
      throw new OperatingError('USAGE', '--port is "x"; expected a number; correct it');
    });
    expect([stderr, exitCode]).toEqual(['error USAGE: --port is "x"; expected a number; correct it\n', 2]);
  });
});

describe('success is exit code 0:', () => {
  it.each([
    [['--help'], 'Usage: tool'],
    [['help'], 'Usage: tool'],
    [['serve', '--help'], 'Usage: tool serve'],
    [['help', 'serve'], 'Usage: tool serve'],
    [['st', '--help'], 'Usage: tool status'],
    [['--version'], '1.2.3'],
  ])('%j', async (argv, text) => {
    const { stdout, stderr, exitCode } = await run(argv);
    expect(stdout).toContain(text);
    expect([stderr, exitCode]).toEqual(['', 0]);
  });

  it('a command that has run', async () => {
    let runs = 0;
    const { stderr, exitCode } = await run(['serve', '--model', 'x'], () => void runs++);
    expect([stderr, exitCode, runs]).toEqual(['', 0, 1]);
  });
});

describe('every other failure is exit code 1:', () => {
  it('an expected one, on one line whatever is in it', async () => {
    const { stderr, exitCode } = await run(['status'], async () => {
      throw new OperatingError('NOT_READY', 'shard 0\n  of "\u001b[31mx\r"; expected 1; wait');
    });
    expect([stderr, exitCode]).toEqual(['error NOT_READY: shard 0 of " [31mx "; expected 1; wait\n', 1]);
  });

  it('a defect, with its stack', async () => {
    const { stderr, exitCode } = await run(['status'], () => {
      throw new TypeError('x is\nnot a function');
    });
    const [line, ...stack] = stderr.split('\n');
    expect(line).toBe(
      'error INTERNAL: x is not a function; expected no such case; please report it with the lines below',
    );
    expect(stack.join('\n')).toContain('run-program.spec.ts');
    expect(exitCode).toBe(1);
  });

  it('what is no error at all', async () => {
    let code = 0;
    const { stderr } = await captured(() => {
      code = reportFailure('a string');
    });
    expect(stderr).toBe(
      'error INTERNAL: a string; expected no such case; please report it with the lines below\n\n',
    );
    expect(code).toBe(1);
  });
});
