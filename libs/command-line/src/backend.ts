import { OperatingError } from '@ultramem/invariant';

/** Kernel implementations by name; `auto` takes the best that this machine has. */
export const BACKENDS = ['reference'] as const;
export type Backend = (typeof BACKENDS)[number];

/** @throws OperatingError USAGE */
export function parseBackend(text: string): Backend {
  if (text === 'auto') return 'reference';
  const backend = BACKENDS.find((name) => name === text);
  if (backend === undefined)
    throw new OperatingError(
      'USAGE',
      `--backend is ${JSON.stringify(text)}; expected auto or ${BACKENDS.join(', ')}; correct it, or ask: ultramem doctor`,
    );
  return backend;
}
