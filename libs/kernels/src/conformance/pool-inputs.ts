import type { PoolRequest } from '../pooling.ts';
import { normals, type TableDType, table, wholes } from './inputs.ts';

export interface PoolSetup {
  what: string;
  dtype: TableDType;
  /** Entries of each token. */
  entryCounts: number[];
  tableRows: number;
  width: number;
  rows: { start: number; end: number };
  columns: { start: number; end: number };
  blockCount: number;
  coreCount: number;
  pre: 'plain' | 'gelu' | null;
  tableScale?: number;
  weightScale?: number;
}

/** Ragged, with an empty token in the middle. */
export const BASE: PoolSetup = {
  ...{ what: 'base', dtype: 'F32', entryCounts: [5, 0, 1, 12, 3], tableRows: 50, width: 24 },
  ...{ rows: { start: 0, end: 50 }, columns: { start: 0, end: 24 }, blockCount: 4, coreCount: 2, pre: null },
};

export const PRE_WIDTH = 10;

/** Everything that pooling or its pre-values need, with slots inside the setup's rows. */
export function poolInputs(setup: PoolSetup) {
  const { tableRows, width, rows, blockCount, coreCount, dtype, entryCounts } = setup;
  const entryStart = new Uint32Array(entryCounts.length + 1);
  entryCounts.forEach((count, token) => {
    entryStart[token + 1] = entryStart[token] + count;
  });
  const entryCount = entryStart[entryCounts.length];
  const request: PoolRequest = {
    tokenCount: entryCounts.length,
    entryStart,
    slot: wholes(21, entryCount, rows.end - rows.start).map((row) => rows.start + row),
    block: Uint8Array.from(wholes(22, entryCount, blockCount)),
    blockCount,
    weight: normals(23, entryCount * coreCount, setup.weightScale),
    coreCount,
    pre: null,
  };
  return {
    values: table(dtype, [tableRows, width], normals(24, tableRows * width, setup.tableScale)),
    pre: table(dtype, [tableRows, PRE_WIDTH], normals(25, tableRows * PRE_WIDTH)),
    preQuery: normals(26, request.tokenCount * PRE_WIDTH),
    request,
  };
}
