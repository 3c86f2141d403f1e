import type { Kernels } from '../kernels.ts';
import { attend } from './attend.ts';
import { dotRows } from './dot-rows.ts';
import { loadKeys } from './load-keys.ts';
import { loadMatrix } from './load-matrix.ts';
import { loadValues } from './load-values.ts';
import { matmul } from './matmul.ts';
import { pool } from './pool.ts';
import { scoreKeys } from './score-keys.ts';
import { selectGrid } from './select-grid.ts';

/** Plain TypeScript with double accumulation: always there, and what other backends are held against. */
export function createReferenceKernels(): Kernels {
  return {
    backend: 'reference',
    loadMatrix,
    loadKeys,
    loadValues,
    matmul: async (weight, x, rowCount, bias) => matmul(weight, x, rowCount, bias),
    attend: async (request) => attend(request),
    scoreKeys: async (keys, request) => scoreKeys(keys, request),
    selectGrid: async (request) => selectGrid(request),
    pool: async (values, request) => pool(values, request),
    dotRows: async (table, request) => dotRows(table, request),
  };
}
