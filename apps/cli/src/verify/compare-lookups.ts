import type { LookupAnswer, MemoryLookup } from '@ultramem/inference';

/** How a cluster's lookups compare with those of one process, over everything that was looked up. */
export interface LookupComparison {
  lookups: number;
  /** Winners, blocks, slots and scores: all equal. */
  indicesEqual: boolean;
  /** Pooled vectors equal bit for bit. */
  bitIdentical: boolean;
  /** Largest difference of a pooled number over the largest pooled number of its lookup. */
  maxRelativeError: number;
}

/** Passes every lookup on to the cluster, asks one process the same, and keeps count of the differences. */
export function compareLookups(
  sharded: MemoryLookup,
  local: MemoryLookup,
): { lookUp: MemoryLookup; comparison: LookupComparison } {
  const comparison: LookupComparison = {
    lookups: 0,
    indicesEqual: true,
    bitIdentical: true,
    maxRelativeError: 0,
  };
  const lookUp: MemoryLookup = async (request) => {
    const found = await sharded(request);
    const expected = await local(request);
    comparison.lookups++;
    comparison.indicesEqual &&= sameChoice(found, expected);
    let largest = 0;
    let difference = 0;
    for (let i = 0; i < expected.pooled.length; i++) {
      largest = Math.max(largest, Math.abs(expected.pooled[i]));
      difference = Math.max(difference, Math.abs(found.pooled[i] - expected.pooled[i]));
    }
    comparison.bitIdentical &&=
      found.pooled.length === expected.pooled.length && sameBits(found.pooled, expected.pooled);
    comparison.maxRelativeError = Math.max(
      comparison.maxRelativeError,
      largest === 0 ? difference : difference / largest,
    );
    return found;
  };
  return { lookUp, comparison };
}

function sameChoice(found: LookupAnswer, expected: LookupAnswer): boolean {
  return (
    sameBits(found.selection.virtualIndex, expected.selection.virtualIndex) &&
    sameBits(found.selection.scores, expected.selection.scores) &&
    sameBits(found.selection.rankScore, expected.selection.rankScore) &&
    sameBits(found.addresses.block, expected.addresses.block) &&
    sameBits(found.addresses.slot, expected.addresses.slot)
  );
}

function sameBits(a: ArrayBufferView, b: ArrayBufferView): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  );
}
