import { OperatingError } from '@ultramem/invariant';

/** Kernel implementations by name, in the order in which people should know them. */
export const BACKENDS = ['native', 'tensorflow', 'webgpu', 'reference'] as const;
export type Backend = (typeof BACKENDS)[number];

/** `auto` takes the best that this machine has, see `chooseBackend`. @throws OperatingError USAGE */
export function parseBackend(text: string): Backend | 'auto' {
  if (text === 'auto') return 'auto';
  const backend = BACKENDS.find((name) => name === text);
  if (backend === undefined)
    throw new OperatingError(
      'USAGE',
      `--backend is ${JSON.stringify(text)}; expected auto or ${BACKENDS.join(', ')}; correct it, or ask: ultramem doctor`,
    );
  return backend;
}

/** One name for all processes, or several by commas: the first for the coordinator, all in turn for the workers. */
export function parseBackends(text: string): (Backend | 'auto')[] {
  return text.split(',').map(parseBackend);
}

/** The flag's help, the same in every program. */
export const BACKEND_HELP = `kernels: auto, ${BACKENDS.join(', ')}`;
