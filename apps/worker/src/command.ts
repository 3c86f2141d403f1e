import { BACKEND_HELP, parseBackend } from '@ultramem/backends';
import { number, readToken, wholeNumber } from '@ultramem/command-line';
import { memoryLimitBytes } from '@ultramem/environment-system';
import { parseBytes } from '@ultramem/planner';
import { Command, Option } from 'commander';
import { runWorker } from './run-worker.ts';

/** Room for slices when nothing is said: the operating system and the page cache want the rest. */
const MEMORY_SHARE = 0.8;

/** As commander gives them; what has no default may be absent. */
interface WorkerOptions {
  coordinator: string;
  model: string;
  id?: string;
  memory?: string;
  tokenFile?: string;
  connectTimeout: string;
  backend: string;
  device?: string;
  threads?: string;
}

/** `ultramem worker`: flags to a validated call of `runWorker`. */
export function workerCommand(): Command {
  return new Command('worker')
    .description(
      'Hold a slice of the memory and answer for it. Joins the coordinator, and again when it comes back.',
    )
    .addOption(
      new Option('--coordinator <url>', 'where the coordinator listens, ws://HOST:PORT')
        .env('ULTRAMEM_COORDINATOR')
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--model <dir>', 'directory with config.json and model.safetensors')
        .env('ULTRAMEM_MODEL')
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--id <name>', 'name of this worker, its own in the cluster (default: random)').env(
        'ULTRAMEM_ID',
      ),
    )
    .addOption(
      new Option(
        '--memory <size>',
        'memory for slices, such as 8GiB (default: 80 % of the machine or container)',
      ).env('ULTRAMEM_MEMORY'),
    )
    .addOption(
      new Option('--token-file <file>', "file with the cluster's token in its first line").env(
        'ULTRAMEM_TOKEN_FILE',
      ),
    )
    .addOption(
      new Option('--connect-timeout <seconds>', 'give up after so long without a coordinator')
        .env('ULTRAMEM_CONNECT_TIMEOUT')
        .default('60'),
    )
    .addOption(new Option('--backend <name>', BACKEND_HELP).env('ULTRAMEM_BACKEND').default('auto'))
    .addOption(
      new Option(
        '--device <name>',
        'which of several: gpu:1 for tensorflow, part of its name for webgpu',
      ).env('ULTRAMEM_DEVICE'),
    )
    .addOption(
      new Option('--threads <count>', 'of the native kernels (default: one per core)').env(
        'ULTRAMEM_THREADS',
      ),
    )
    .addHelpText(
      'after',
      '\nExample:\n  ultramem worker --coordinator ws://10.0.0.1:7420 --model ./model --token-file token --memory 8GiB',
    )
    .action(async (options: WorkerOptions) => {
      await runWorker({
        coordinatorUrl: options.coordinator,
        modelPath: options.model,
        workerId: options.id ?? null,
        capacityBytes:
          options.memory === undefined
            ? Math.floor(MEMORY_SHARE * memoryLimitBytes())
            : parseBytes(options.memory),
        token: await readToken(options.tokenFile),
        connectTimeoutMs: 1000 * number('--connect-timeout', 0.001, 1e6)(options.connectTimeout),
        backend: parseBackend(options.backend),
        device: options.device ?? null,
        threads: options.threads === undefined ? null : wholeNumber('--threads', 1, 1024)(options.threads),
      });
    });
}
