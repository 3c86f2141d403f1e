import { type Checkpoint, preValueTableName, valueTableName } from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import type { ElementBytes, KeysMode, Link, Partition, Rates } from '@ultramem/planner';
import type { PlanTerms } from './place-shards.ts';

/** A local machine's link until heartbeats have measured the real round trip. */
export const ASSUMED_LINK: Link = { roundTripMs: 0.2, bytesPerSecond: 1e9 };
/** The reference kernels on one core, as measured with the demo model. */
const REFERENCE_RATES: Rates = { macsPerSecond: 1.5e9, rowBytesPerSecond: 1e9 };
/**
 * The native kernels on two cores with 2.6 M virtual slots. Multiplications are those of a search that scores every key; most of
 * them are done in eight bits, which is where more of them than the cores have come from.
 */
const NATIVE_RATES: Rates = { macsPerSecond: 2e11, rowBytesPerSecond: 2e10 };

/** What a process with these kernels does in a second, about; a device is taken for fast cores, since none is known beforehand. */
export function assumedRates(backend: string): Rates {
  return backend === 'reference' ? REFERENCE_RATES : NATIVE_RATES;
}

/**
 * What a plan for this checkpoint is made of.
 *
 * @param backend name of the kernels that will run it; the default is that of most machines
 */
export function planTerms(
  checkpoint: Checkpoint,
  partition: Partition | 'auto',
  keys: KeysMode,
  backend = 'native',
): PlanTerms {
  const { geometry } = checkpoint;
  assert(geometry !== null, 'only models with memory layers are planned');
  const elementBytes = (name: string): ElementBytes => {
    const { dtype } = checkpoint.tensor(name);
    return dtype === 'INT8_BLOCK64' ? 'int8_block64' : dtype === 'F32' ? 4 : 2;
  };
  return {
    geometry,
    bytes: {
      value: elementBytes(valueTableName(geometry, 0)),
      pre: geometry.preWidth > 0 ? elementBytes(preValueTableName(geometry)) : 4,
      denseBytes: denseBytes(checkpoint),
    },
    partition,
    keys,
    link: ASSUMED_LINK,
    rates: assumedRates(backend),
  };
}

/** Dense weights as the coordinator keeps them, in f32: everything but keys, tables and shuffles. */
function denseBytes(checkpoint: Checkpoint): number {
  let bytes = 0;
  for (const { name, shape } of checkpoint.tensors.values())
    if (!/(\.keys|values_for_look_up|shuffle_index)$/.test(name))
      bytes += 4 * shape.reduce((product, length) => product * length, 1);
  return bytes;
}
