import { OperatingError } from '@ultramem/invariant';
import { Command } from 'commander';
import { coordinatorOption, tokenFileOption, withClient } from '../coordinator-option.ts';
import { describeStatus } from '../worker-table.ts';

/** `ultramem status`: exit 0 only when every shard answers. */
export function statusCommand(): Command {
  return new Command('status')
    .description('Show what a running cluster is doing. Exit 0 only when every shard has a ready worker.')
    .addOption(coordinatorOption())
    .addOption(tokenFileOption())
    .option('--json', 'print facts as JSON')
    .addHelpText('after', '\nExample:\n  ultramem status --coordinator ws://127.0.0.1:7420')
    .action(async (flags: { coordinator?: string; tokenFile?: string; json?: boolean }) => {
      const { id: _, kind: __, ...status } = await withClient(flags, (client) => client.status());
      process.stdout.write(
        `${flags.json ? JSON.stringify(status) : describeStatus({ kind: 'cluster-status', ...status })}\n`,
      );
      if (status.cluster.state !== 'ready')
        throw new OperatingError(
          'NOT_READY',
          `the cluster is ${status.cluster.state}; expected ready; start the missing workers, or wait for those that load`,
          { retriable: true },
        );
    });
}
