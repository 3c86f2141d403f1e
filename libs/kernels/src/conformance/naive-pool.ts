import type { Truth } from './checks.ts';
import { addTerm, emptyTruth } from './naive-dense.ts';

/** A ragged batch with everything pooling needs, over a whole table. */
export interface NaivePool {
  stored: Float32Array; // [tableRows, width]
  width: number;
  entryStart: Uint32Array;
  slot: Uint32Array;
  block: Uint8Array;
  blockCount: number;
  weight: Float32Array; // [entries, coreCount]
  coreCount: number;
}

/** SEMANTICS 4.6 over all columns, `[tokenCount, blockCount, width]`. `weightMagnitude` stands for |weight| where the weight is itself a sum. */
export function naivePool(request: NaivePool, weightMagnitude: Float64Array | null = null): Truth {
  const { stored, width, entryStart, slot, block, blockCount, weight, coreCount } = request;
  const tokenCount = entryStart.length - 1;
  const truth = emptyTruth(tokenCount * blockCount * width);
  for (let token = 0; token < tokenCount; token++)
    for (let entry = entryStart[token]; entry < entryStart[token + 1]; entry++)
      for (let column = 0; column < width; column++) {
        const core = Math.floor((column * coreCount) / width);
        const at = (token * blockCount + block[entry]) * width + column;
        const value = stored[slot[entry] * width + column];
        const weightAt = entry * coreCount + core;
        truth.value[at] += weight[weightAt] * value;
        truth.magnitude[at] += (weightMagnitude?.[weightAt] ?? Math.abs(weight[weightAt])) * Math.abs(value);
      }
  return truth;
}

/** Dot product of every entry's row with its token's query, `[entries]`. */
export function naiveDots(
  stored: Float32Array,
  width: number,
  entries: { entryStart: Uint32Array; slot: Uint32Array },
  query: Float32Array,
): Truth {
  const truth = emptyTruth(entries.slot.length);
  for (let token = 0; token + 1 < entries.entryStart.length; token++)
    for (let entry = entries.entryStart[token]; entry < entries.entryStart[token + 1]; entry++)
      for (let c = 0; c < width; c++)
        addTerm(truth, entry, stored[entries.slot[entry] * width + c] * query[token * width + c]);
  return truth;
}

/** SEMANTICS 5.5: (gelu of) the dot product times each core's score. */
export function naiveGate(
  dots: Truth,
  scores: Float32Array,
  coreCount: number,
  activation: boolean,
): { weight: Float32Array; magnitude: Float64Array } {
  const weight = new Float32Array(scores.length);
  const magnitude = new Float64Array(scores.length);
  for (let i = 0; i < scores.length; i++) {
    const dot = dots.value[Math.floor(i / coreCount)];
    weight[i] = (activation ? naiveGelu(dot) : dot) * scores[i];
    // The slope of gelu is below 1.13.
    magnitude[i] = 1.13 * dots.magnitude[Math.floor(i / coreCount)] * Math.abs(scores[i]);
  }
  return { weight, magnitude };
}

/** x Φ(x) with Φ from Simpson's rule over the normal density. */
export function naiveGelu(x: number): number {
  const steps = 2000;
  const density = (t: number) => Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI);
  let area = density(0) + density(x);
  for (let i = 1; i < steps; i++) area += (i % 2 === 1 ? 4 : 2) * density((x * i) / steps);
  return x * (0.5 + (area * x) / steps / 3);
}
