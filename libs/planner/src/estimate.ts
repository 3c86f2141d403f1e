import { type MemoryGeometry, rangeLength, SIDES, winnersPerToken } from '@ultramem/ultramem';
import type { KeysMode } from './keys-mode.ts';
import { sliceRowBytes, type WeightBytes } from './memory.ts';
import type { Partition } from './partition.ts';
import type { ShardSlice } from './shard.ts';
import { windowShares } from './window-shares.ts';

/** Between the coordinator and its workers, measured. */
export interface Link {
  /** One small frame to every worker and all answers back. */
  readonly roundTripMs: number;
  /** What the coordinator's end carries, both directions together. */
  readonly bytesPerSecond: number;
}

/** What one process does, measured; the coordinator and all workers are taken to be equal. */
export interface Rates {
  readonly macsPerSecond: number;
  /** Random rows of a table far beyond the caches. */
  readonly rowBytesPerSecond: number;
}

/** One lookup of one memory layer; bytes are per token, frame heads excluded, means over the memory layers. */
export interface LookupEstimate {
  batch: number;
  /** Who scores: with mode `auto` whichever is faster at this batch size. */
  keys: 'coordinator' | 'workers';
  roundTrips: number;
  bytesOut: number;
  bytesBack: number;
  ms: number;
}

export interface LookupCase {
  geometry: MemoryGeometry;
  bytes: WeightBytes;
  partition: Partition;
  slices: readonly ShardSlice[];
  link: Link;
  rates: Rates;
}

interface Traffic {
  roundTrips: number;
  bytesOut: number;
  bytesBack: number;
}

/** Prediction for a batch of `batch` tokens; `auto` takes the faster of the other two modes, the coordinator when equal. */
export function estimateLookup(lookup: LookupCase, keys: KeysMode, batch: number): LookupEstimate {
  if (keys === 'auto') {
    const local = estimateLookup(lookup, 'coordinator', batch);
    const shared = estimateLookup(lookup, 'workers', batch);
    return shared.ms < local.ms ? shared : local;
  }
  const phases = [poolTraffic(lookup)];
  if (needsPrescore(lookup)) phases.push(prescoreTraffic(lookup));
  if (keys === 'workers') phases.push(scoreTraffic(lookup));
  const roundTrips = sum(phases.map((phase) => phase.roundTrips));
  const bytesOut = sum(phases.map((phase) => phase.bytesOut));
  const bytesBack = sum(phases.map((phase) => phase.bytesBack));
  const { link, rates } = lookup;
  // Assumed: phases follow each other; the frames of all workers share the coordinator's end of the link; the busiest worker
  // decides how long reading takes; arithmetic other than scoring and the grid is free; nothing overlaps with the dense layers.
  const seconds =
    (batch * (bytesOut + bytesBack)) / link.bytesPerSecond +
    (batch * macsPerToken(lookup, keys)) / rates.macsPerSecond +
    (batch * busiestRowBytes(lookup)) / rates.rowBytesPerSecond;
  return { batch, keys, roundTrips, bytesOut, bytesBack, ms: roundTrips * link.roundTripMs + seconds * 1000 };
}

/** With columns apart, a pre-score is a sum over workers that must be known before its row is weighted (SEMANTICS 5.5). */
function needsPrescore({ geometry, partition }: LookupCase): boolean {
  return geometry.preWidth > 0 && partition.kind !== 'slots';
}

/** Out: queries of every group to each worker. Back: index and refined scores of its best k per head and side. */
function scoreTraffic({ geometry, slices }: LookupCase): Traffic {
  const queryBytes = geometry.queryGroupUsed * SIDES * geometry.keyWidth * 4;
  const candidateBytes = geometry.headCount * SIDES * (4 + 4 * geometry.rank);
  const candidates = slices.map(({ keys }) => Math.min(geometry.topK, keys === null ? 0 : rangeLength(keys)));
  return { roundTrips: 1, bytesOut: slices.length * queryBytes, bytesBack: sum(candidates) * candidateBytes };
}

/** Out: slot and partial query. Back: one partial dot product in f64 per entry and worker. */
function prescoreTraffic(lookup: LookupCase): Traffic {
  const out = lookup.slices.map((slice) => {
    const { entries, hit } = visits(lookup, slice);
    return entries * 4 + hit * (4 + rangeLength(slice.preColumns) * 4);
  });
  const back = lookup.slices.map((slice) => visits(lookup, slice).entries * 8);
  return { roundTrips: 1, bytesOut: sum(out), bytesBack: sum(back) };
}

/**
 * Out: slot, a weight per core and block of each entry, and the start of each token's entries; the pre-value query rides
 * along where the worker holds whole rows. Back: one partial vector per block from each worker hit.
 */
function poolTraffic(lookup: LookupCase): Traffic {
  const { geometry, slices } = lookup;
  const entryBytes = 4 + 4 * geometry.coreCount + 1;
  const queryBytes = needsPrescore(lookup) ? 0 : geometry.preWidth * 4;
  const out = slices.map((slice) => {
    const { entries, hit } = visits(lookup, slice);
    return entries * entryBytes + hit * (4 + queryBytes);
  });
  const back = slices.map(
    (slice) => visits(lookup, slice).hit * geometry.poolBlocks * rangeLength(slice.columns) * 4,
  );
  return { roundTrips: 1, bytesOut: sum(out), bytesBack: sum(back) };
}

/**
 * Per token: expected winners that lie in the slice's rows, and the probability that any does, 1 - (1 - share)^m. Summed over P
 * equal row ranges the latter is P (1 - (1 - 1/P)^m). Assumed: winners fall independently and evenly over a layer's window.
 */
function visits({ geometry }: LookupCase, slice: ShardSlice): { entries: number; hit: number } {
  const winners = winnersPerToken(geometry);
  const shares = windowShares(geometry, slice.rows);
  return {
    entries: winners * mean(shares),
    hit: mean(shares.map((share) => 1 - (1 - share) ** winners)),
  };
}

/** Scoring both axes (the largest key slice, when workers share it) and the grid, which is always the coordinator's. */
function macsPerToken({ geometry, slices }: LookupCase, keys: 'coordinator' | 'workers'): number {
  const { headCount, topK, keyWidth, rank, coreCount } = geometry;
  const keyCount =
    keys === 'coordinator'
      ? geometry.keyCount
      : Math.max(...slices.map((slice) => (slice.keys === null ? 0 : rangeLength(slice.keys))));
  const score = headCount * SIDES * keyCount * keyWidth * rank;
  const grid = headCount * coreCount * (topK * rank * rank + topK * topK * rank);
  return score + grid;
}

/** Bytes of rows that the busiest worker reads for one token, mean over the layers. */
function busiestRowBytes({ geometry, bytes, slices }: LookupCase): number {
  const readByLayer = slices.map((slice) => {
    const rowBytes = sliceRowBytes(bytes, slice);
    return windowShares(geometry, slice.rows).map((share) => winnersPerToken(geometry) * share * rowBytes);
  });
  return mean(
    Array.from({ length: geometry.layerCount }, (_, layer) =>
      Math.max(...readByLayer.map((read) => read[layer])),
    ),
  );
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function mean(values: number[]): number {
  return sum(values) / values.length;
}
