import {
  ACTIVATIONS_HELP,
  BACKEND_HELP,
  type BackendOptions,
  parseActivations,
  parseBackend,
} from '@ultramem/backends';
import { OperatingError } from '@ultramem/invariant';
import { type Command, Option } from 'commander';

/** Which kernels compute, and how exactly. */
export type Arithmetic = Pick<BackendOptions, 'backend' | 'activations'>;

export interface ArithmeticFlags {
  model?: string;
  backend: string;
  activations: string;
}

/** Of a verb that asks a cluster or, with `--model`, computes here. */
export function backendOption(): Option {
  return new Option('--backend <name>', `with --model, ${BACKEND_HELP}`).default('auto');
}

export function activationsOption(): Option {
  return new Option('--activations <dtype>', `with --model, ${ACTIVATIONS_HELP}`).default('f32');
}

/** @throws OperatingError USAGE, also where the flags were given for a cluster, which computes as its own programs were told */
export function parseArithmetic(flags: ArithmeticFlags, command: Command): Arithmetic {
  for (const name of ['backend', 'activations'])
    if (flags.model === undefined && command.getOptionValueSource(name) === 'cli')
      throw new OperatingError(
        'USAGE',
        `--${name} is given without --model; expected it only where a model is run here, because a cluster computes as its coordinator was told; leave it out, or give --model`,
      );
  return { backend: parseBackend(flags.backend), activations: parseActivations(flags.activations) };
}
