import { ACTIVATIONS_HELP, BACKEND_HELP, parseActivations, parseBackend } from '@ultramem/backends';
import { checkExposure, number, readToken, wholeNumber } from '@ultramem/command-line';
import { parseSlowLinks } from '@ultramem/coordinator';
import { parseKeysMode, parsePartition } from '@ultramem/planner';
import { Command, Option } from 'commander';
import { parseOrigins } from './parse-origins.ts';
import { runCoordinator } from './run-coordinator.ts';

/** Not among the ports of the neighbouring systems. */
export const DEFAULT_PORT = 7420;

/** As commander gives them; what has no default may be absent. */
interface CoordinatorOptions {
  model: string;
  workers: string;
  host: string;
  port: string;
  tokenFile?: string;
  allowOrigin: string;
  partition: string;
  keys: string;
  slowLinks: string;
  lookupTimeout: string;
  backend: string;
  device?: string;
  threads?: string;
  activations: string;
}

/** `ultramem coordinator`: flags to a validated call of `runCoordinator`. */
export function coordinatorCommand(): Command {
  const command = new Command('coordinator')
    .description(
      'Run the model on top of a memory that workers hold: admits them, cuts the tables over them, routes lookups.',
    )
    .addHelpText(
      'after',
      '\nExample:\n  ultramem coordinator --model ./model --workers 4 --host 0.0.0.0 --token-file token',
    )
    .action(async (options: CoordinatorOptions) => {
      const token = await readToken(options.tokenFile);
      checkExposure(options.host, token);
      await runCoordinator({
        modelPath: options.model,
        workersWanted: wholeNumber('--workers', 1, 4096)(options.workers),
        host: options.host,
        port: wholeNumber('--port', 0, 65535)(options.port),
        token,
        allowedOrigins: parseOrigins(options.allowOrigin),
        partition: parsePartition(options.partition),
        keys: parseKeysMode(options.keys),
        slowLinks: parseSlowLinks(options.slowLinks),
        lookupDeadlineMs: 1000 * number('--lookup-timeout', 0.001, 86_400)(options.lookupTimeout),
        backend: parseBackend(options.backend),
        device: options.device ?? null,
        threads: options.threads === undefined ? null : wholeNumber('--threads', 1, 1024)(options.threads),
        activations: parseActivations(options.activations),
      });
    });
  for (const option of coordinatorOptions()) command.addOption(option);
  return command;
}

function coordinatorOptions(): Option[] {
  return [
    new Option('--model <dir>', 'directory with config.json and model.safetensors')
      .env('ULTRAMEM_MODEL')
      .makeOptionMandatory(),
    new Option('--workers <count>', 'wait for so many workers, then cut the memory over them')
      .env('ULTRAMEM_WORKERS')
      .makeOptionMandatory(),
    new Option('--host <address>', 'listen there; beyond loopback a token is required')
      .env('ULTRAMEM_HOST')
      .default('127.0.0.1'),
    new Option('--port <number>', 'listen there; 0 picks a free port and prints the URL')
      .env('ULTRAMEM_PORT')
      .default(`${DEFAULT_PORT}`),
    new Option('--token-file <file>', 'file with a token in its first line; who joins must know it').env(
      'ULTRAMEM_TOKEN_FILE',
    ),
    new Option(
      '--allow-origin <origins>',
      'origins of web pages elsewhere that may join as workers, such as https://example.org',
    )
      .env('ULTRAMEM_ALLOW_ORIGIN')
      .default('', 'pages of this coordinator only'),
    new Option('--partition <kind>', 'slots, columns, grid:RxC or auto')
      .env('ULTRAMEM_PARTITION')
      .default('auto'),
    new Option('--keys <place>', 'who scores keys: coordinator, workers, or auto by measured cost')
      .env('ULTRAMEM_KEYS')
      .default('auto'),
    new Option(
      '--slow-links <encoding>',
      'how pooled vectors travel on links that are measured slower than 300 MB/s, never on loopback: f32 (exact), bf16 or int8',
    )
      .env('ULTRAMEM_SLOW_LINKS')
      .default('f32'),
    new Option('--lookup-timeout <seconds>', 'a lookup fails when a worker has not answered by then')
      .env('ULTRAMEM_LOOKUP_TIMEOUT')
      .default('10'),
    new Option('--backend <name>', BACKEND_HELP).env('ULTRAMEM_BACKEND').default('auto'),
    new Option('--device <name>', 'which of several: gpu:1 for tensorflow, part of its name for webgpu').env(
      'ULTRAMEM_DEVICE',
    ),
    new Option('--threads <count>', 'of the native kernels (default: one per core)').env('ULTRAMEM_THREADS'),
    new Option('--activations <dtype>', ACTIVATIONS_HELP).env('ULTRAMEM_ACTIVATIONS').default('f32'),
  ];
}
