import { availableParallelism } from 'node:os';
import { ACTIVATIONS_HELP, BACKEND_HELP, parseActivations, parseBackends } from '@ultramem/backends';
import { checkExposure, readToken, startProgress, wholeNumber } from '@ultramem/command-line';
import { DEFAULT_PORT } from '@ultramem/coordinator-app';
import { memoryLimitBytes } from '@ultramem/environment-system';
import { startLocalCluster } from '@ultramem/local-cluster';
import { formatBytes, parseBytes, parseKeysMode, parsePartition } from '@ultramem/planner';
import { Command } from 'commander';
import { withClient } from '../coordinator-option.ts';
import { DEMO_MODEL, PROGRAM } from '../program.ts';
import { demonstrate } from '../up/demonstrate.ts';
import { stayUp } from '../up/stay-up.ts';

interface UpFlags {
  model: string;
  workers: string;
  partition: string;
  keys: string;
  host: string;
  port: string;
  tokenFile?: string;
  memory?: string;
  backend: string;
  threads?: string;
  activations: string;
  demonstrate?: boolean;
  once?: boolean;
}

const MEMORY_SHARE = 0.8;

/** `ultramem up`: coordinator and workers of one machine, until Ctrl-C. */
export function upCommand(): Command {
  return new Command('up')
    .description('Run a coordinator and workers on this machine, until Ctrl-C.')
    .option(
      '--model <dir>',
      'directory with config.json and model.safetensors (default: the demo model)',
      DEMO_MODEL,
    )
    .option('--workers <count>', 'worker processes', '4')
    .option('--partition <kind>', 'slots, columns, grid:RxC or auto', 'auto')
    .option('--keys <place>', 'who scores keys: coordinator, workers or auto', 'auto')
    .option('--host <address>', 'listen there; beyond loopback a token is required', '127.0.0.1')
    .option('--port <number>', 'listen there; 0 picks a free port', `${DEFAULT_PORT}`)
    .option('--token-file <file>', 'file with a token in its first line')
    .option(
      '--memory <sizes>',
      'memory for slices, of each worker or one size each, such as 4GiB,2GiB (default: 80 % of the machine or container, shared)',
    )
    .option('--backend <names>', `${BACKEND_HELP}; several by commas go to the workers in turn`, 'auto')
    .option('--threads <count>', "of each worker's native kernels (default: the cores, shared)")
    .option('--activations <dtype>', ACTIVATIONS_HELP, 'f32')
    .option('--demonstrate', 'write text, and prove that nothing was lost by sharding')
    .option('--once', 'demonstrate, then stop')
    .addHelpText('after', '\nExample:\n  ultramem up --model ./model --workers 4 --partition slots')
    .action(async (flags: UpFlags) => {
      const workers = wholeNumber('--workers', 1, 4096)(flags.workers);
      const token = await readToken(flags.tokenFile);
      checkExposure(flags.host, token);
      parsePartition(flags.partition); // a wrong flag is told before anything starts
      parseKeysMode(flags.keys);
      const backends = parseBackends(flags.backend);
      const activations = parseActivations(flags.activations);
      const progress = startProgress('starting', workers + 1);
      let readyCount = 0;
      const cluster = await startLocalCluster({
        program: PROGRAM,
        model: flags.model,
        workers,
        port: wholeNumber('--port', 0, 65535)(flags.port),
        host: flags.host,
        partition: flags.partition,
        keys: flags.keys,
        backends,
        threads:
          flags.threads === undefined
            ? Math.max(1, Math.floor(availableParallelism() / workers))
            : wholeNumber('--threads', 1, 1024)(flags.threads),
        activations: flags.activations,
        tokenFile: flags.tokenFile ?? null,
        memoryBytes: memoryOfEach(flags.memory, workers),
        onMessage: (_, message) => {
          if (message.kind === 'ready') progress.update(++readyCount);
        },
      }).finally(() => progress.stop());
      try {
        process.stdout.write(`cluster up at ${cluster.url}: 1 coordinator and ${workers} workers\n`);
        const access = {
          coordinator: cluster.url,
          ...(flags.tokenFile === undefined ? {} : { tokenFile: flags.tokenFile }),
        };
        if (flags.demonstrate || flags.once)
          await withClient(access, (client) =>
            demonstrate(client, flags.model, { backend: backends[0], activations }),
          );
        if (!flags.once) await stayUp(cluster, access);
      } finally {
        await cluster.stop();
      }
    });
}

function memoryOfEach(text: string | undefined, workers: number): number[] {
  if (text === undefined)
    return Array.from({ length: workers }, () => Math.floor((MEMORY_SHARE * memoryLimitBytes()) / workers));
  const sizes = text.split(',').map(parseBytes);
  if (sizes.length === 1) return Array.from({ length: workers }, () => sizes[0]);
  wholeNumber(
    `the number of sizes in --memory (${sizes.map(formatBytes).join(', ')})`,
    workers,
    workers,
  )(`${sizes.length}`);
  return sizes;
}
