import { readKeyRows, type TensorSource } from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import { type Range, rangeLength, SIDES } from '@ultramem/ultramem';
import type { KeyTable, Norm } from '../kernels.ts';
import { Resident } from './resident.ts';

interface KeyShape {
  headCount: number;
  range: Range;
  width: number;
  rank: number;
}

/** Normalised keys in f32, features innermost: `[heads, 2, range, rank, width]`, so that a score is one dot product of a row. */
export class ReferenceKeys extends Resident<Float32Array> implements KeyTable {
  readonly headCount: number;
  readonly range: Range;
  readonly width: number;
  readonly rank: number;

  constructor(keys: Float32Array, shape: KeyShape) {
    super(keys);
    this.headCount = shape.headCount;
    this.range = shape.range;
    this.width = shape.width;
    this.rank = shape.rank;
  }
}

export async function loadKeys(
  source: TensorSource,
  range: Range,
  norm: Norm | null,
): Promise<ReferenceKeys> {
  const { keys, headCount, width, rank } = await readNormalisedKeys(source, range, norm);
  return new ReferenceKeys(keys, { headCount, range, width, rank });
}

/**
 * Key rows `range` of both axes, normalised in f64 and rounded to f32: `keys [heads, 2, range, rank, width]`. Every backend starts
 * from these numbers, so that all choose alike.
 */
export async function readNormalisedKeys(
  source: TensorSource,
  range: Range,
  norm: Norm | null,
): Promise<{ keys: Float32Array; headCount: number; width: number; rank: number }> {
  assert(
    source.shape.length === 4 || source.shape.length === 5,
    'keys are [heads, 2, keyCount, width] or have a rank axis too',
  );
  const [headCount, sides, , width] = source.shape as [number, number, number, number];
  const rank = source.shape.length === 5 ? source.shape[4] : 1;
  assert(sides === SIDES, 'keys have a row side and a column side');
  assert(norm?.weight == null || norm.weight.length === width, 'a norm weight has one entry per feature');
  assert(norm?.bias == null || norm.bias.length === width, 'a norm bias has one entry per feature');
  const stored = await readKeyRows(source, range); // [heads, 2, range, width, rank]
  const keys = new Float32Array(stored.length);
  const features = new Float64Array(width);
  for (let row = 0; row < headCount * SIDES * rangeLength(range); row++)
    for (let r = 0; r < rank; r++) {
      for (let c = 0; c < width; c++) features[c] = stored[(row * width + c) * rank + r];
      if (norm !== null) normalise(features, norm);
      keys.set(features, (row * rank + r) * width);
    }
  return { keys, headCount, width, rank };
}

/** The keys behind a handle of this backend. */
export function ownKeys(handle: KeyTable): ReferenceKeys {
  assert(handle instanceof ReferenceKeys, 'a key table is used by the backend that loaded it');
  return handle;
}

/** SEMANTICS 1.1, in place. */
function normalise(features: Float64Array, norm: Norm): void {
  const { weight, bias } = norm;
  const width = features.length;
  let sum = 0;
  if (norm.kind === 'layer') for (let c = 0; c < width; c++) sum += features[c];
  const mean = sum / width;
  let squares = 0;
  for (let c = 0; c < width; c++) squares += (features[c] - mean) ** 2;
  const scale = 1 / Math.sqrt(squares / width + norm.eps);
  for (let c = 0; c < width; c++) {
    const scaled = (features[c] - mean) * scale;
    features[c] = (weight === null ? scaled : weight[c] * scaled) + (bias === null ? 0 : bias[c]);
  }
}
