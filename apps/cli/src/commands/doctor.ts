import { DEFAULT_PORT } from '@ultramem/coordinator-app';
import { OperatingError } from '@ultramem/invariant';
import { Command, Option } from 'commander';
import { doctorText } from './doctor-findings.ts';
import { probeMachine } from './doctor-probes.ts';

/** `ultramem doctor`: exit 0 when nothing fails; warnings are no failures. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description(
      'Say what this machine can do and what is missing, with the command that mends it. Exit 0 when nothing fails.',
    )
    .addOption(new Option('--model <dir>', 'also look whether this model opens').env('ULTRAMEM_MODEL'))
    .option('--json', 'print facts as JSON')
    .addHelpText('after', '\nExample:\n  ultramem doctor --model ./model')
    .action(async (flags: { model?: string; json?: boolean }) => {
      const findings = await probeMachine({ modelPath: flags.model ?? null, port: DEFAULT_PORT });
      const failed = findings.filter(({ state }) => state === 'fail').map(({ what }) => what);
      process.stdout.write(
        `${flags.json ? JSON.stringify({ ok: failed.length === 0, findings }) : doctorText(findings)}\n`,
      );
      if (failed.length > 0)
        throw new OperatingError(
          'NOT_READY',
          `this machine fails in: ${failed.join(', ')}; expected no failure; do what stands beside each on stdout`,
          { retriable: true },
        );
    });
}
