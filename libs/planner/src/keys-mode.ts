import { OperatingError } from '@ultramem/invariant';

/** Who scores keys: the coordinator (one round trip less), the workers (work is shared), or whichever is faster for the batch. */
export type KeysMode = 'auto' | 'coordinator' | 'workers';

const KEYS_MODES: readonly KeysMode[] = ['auto', 'coordinator', 'workers'];

/** @throws OperatingError USAGE for anything but the three names. */
export function parseKeysMode(text: string): KeysMode {
  const mode = KEYS_MODES.find((known) => known === text);
  if (mode === undefined)
    throw new OperatingError(
      'USAGE',
      `the keys mode is ${JSON.stringify(text)}; expected ${KEYS_MODES.join(', ')}; correct it`,
    );
  return mode;
}
