import type { Candidates, Selection, ValueAddresses } from '@ultramem/ultramem';

/** What a memory layer asks its tables: which slots match best, and what their weighted values add up to. */
export interface LookupRequest {
  /** Number of the memory layer, in the order of `mem_insert_way`. */
  layer: number;
  tokenCount: number;
  query: Float32Array; // [tokenCount, queryGroupUsed, 2, keyWidth], after the norm
  /** What the pre-value rows are multiplied with (SEMANTICS 5.5), or null without pre-values. */
  preQuery: Float32Array | null; // [tokenCount, preWidth]
  /** Whether the answer is to show the candidates; ranking and scoring all of them takes longer. */
  explain: boolean;
}

export interface LookupAnswer {
  pooled: Float32Array; // [tokenCount, poolBlocks * valueWidth]
  /** How the answer came about, for explanations and comparisons. */
  candidates: Candidates | null; // null unless it was to be explained
  selection: Selection;
  addresses: ValueAddresses;
}

/** The tables behind all memory layers: in this process (`createLocalLookup`), or sharded over workers. */
export type MemoryLookup = (request: LookupRequest) => Promise<LookupAnswer>;
