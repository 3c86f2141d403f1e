import { addressValues } from '@ultramem/ultramem';
import { activate } from '../activation.ts';
import { attendEach } from '../attend-each.ts';
import { feedForwardInSteps, selectInSteps } from '../in-steps.ts';
import type { Kernels } from '../kernels.ts';
import { addInto } from './add-into.ts';
import { attend } from './attend.ts';
import { dotRows } from './dot-rows.ts';
import { loadKeys } from './load-keys.ts';
import { loadMatrix } from './load-matrix.ts';
import { loadValues } from './load-values.ts';
import { matmul } from './matmul.ts';
import { mergePartials } from './merge-partials.ts';
import { normalise } from './normalise.ts';
import { packVectors, unpackVectors } from './pack-vectors.ts';
import { pool } from './pool.ts';
import { rotate } from './rotate.ts';
import { scoreKeys } from './score-keys.ts';
import { selectGrid } from './select-grid.ts';
import { createTurns } from './turns.ts';

/**
 * Plain TypeScript with double accumulation: always there, and what other backends are held against.
 *
 * @param breathe awaited in the middle of long computations, so that sockets are served (`Clock.breathe`)
 */
export function createReferenceKernels(breathe: (() => Promise<void>) | null = null): Kernels {
  const turns = createTurns(breathe);
  const product: Kernels['matmul'] = (weight, x, rowCount, bias) => matmul(turns, weight, x, rowCount, bias);
  const choosing: Pick<Kernels, 'scoreKeys' | 'selectGrid' | 'address'> = {
    scoreKeys: (keys, request) => scoreKeys(turns, keys, request),
    selectGrid: async (request) => selectGrid(request),
    address: async ({ geometry, layer, virtualIndex, shuffle }) =>
      addressValues(geometry, layer, virtualIndex, shuffle),
  };
  return {
    backend: 'reference',
    loadMatrix,
    loadKeys,
    loadValues,
    matmul: product,
    feedForward: (layer, x, rowCount) => feedForwardInSteps(layer, x, rowCount, product, activate),
    normalise: async (norm, x, width) => normalise(norm, x, width),
    rotate: async (rope, x, positions) => rotate(rope, x, positions),
    addInto: async (sum, addend) => addInto(sum, addend),
    attend: (request) => attendEach(request, (sequence) => attend(turns, sequence)),
    ...choosing,
    select: (keys, request) => selectInSteps(keys, request, choosing),
    pool: (values, request) => pool(turns, values, request),
    dotRows: async (table, request) => dotRows(table, request),
    mergePartials: async (parts, size) => mergePartials(parts, size),
    packVectors: async (values, width, encoding) => packVectors(values, width, encoding),
    unpackVectors: async (bytes, count, width, encoding) => unpackVectors(bytes, count, width, encoding),
    close: async () => {},
  };
}
