import { OperatingError } from '@ultramem/invariant';
import {
  attendEach,
  createReferenceKernels,
  feedForwardInSteps,
  type Kernels,
  selectInSteps,
} from '@ultramem/kernels';
import { activate } from './activate.ts';
import { attend } from './attend.ts';
import { loadBinding, type TensorflowDevice } from './binding.ts';
import { dotRows } from './dot-rows.ts';
import { loadKeys } from './load-keys.ts';
import { loadValues } from './load-values.ts';
import { loadMatrix, matmul } from './matmul.ts';
import { pool } from './pool.ts';
import { scoreKeys } from './score-keys.ts';
import { selectGrid } from './select-grid.ts';

export interface TensorflowOptions {
  /** `cpu` or `gpu:N`; null or nothing takes the first GPU, or the CPU where there is none. The first call in a process decides. */
  device?: string | null;
  /** Awaited in the middle of long computations, so that sockets are served (`Clock.breathe`). */
  breathe?: (() => Promise<void>) | null;
}

/**
 * Kernels on TensorFlow: tables, keys and weights stay on the device, a lookup is a handful of operations. Scores, selections,
 * pooled vectors and products have the bits of the reference kernels; attention and activations are computed in f64.
 *
 * @throws OperatingError BACKEND_UNAVAILABLE when TensorFlow is not set up or has no such device, USAGE for another device
 */
export async function createTensorflowKernels(options: TensorflowOptions = {}): Promise<Kernels> {
  const binding = loadBinding(parseDevice(options.device ?? null));
  const breathe = options.breathe ?? (async () => {});
  const reference = createReferenceKernels();
  const choosing: Pick<Kernels, 'scoreKeys' | 'selectGrid' | 'address'> = {
    scoreKeys: (keys, request) => scoreKeys(binding, breathe, keys, request),
    selectGrid: (request) => selectGrid(binding, breathe, reference.selectGrid, request),
    address: reference.address,
  };
  const product: Kernels['matmul'] = (weight, x, rowCount, bias) =>
    matmul(binding, breathe, weight, x, rowCount, bias);
  return {
    backend: 'tensorflow',
    loadMatrix: (source, activations) => loadMatrix(binding, source, activations),
    loadKeys: (source, range, norm) => loadKeys(binding, source, range, norm),
    loadValues: (source, rows, columns) => loadValues(binding, source, rows, columns),
    matmul: product,
    feedForward: (layer, x, rowCount) =>
      feedForwardInSteps(layer, x, rowCount, product, (...all) => activate(binding, ...all)),
    normalise: reference.normalise,
    rotate: reference.rotate,
    addInto: reference.addInto,
    attend: (request) => attendEach(request, (sequence) => attend(binding, breathe, sequence)),
    ...choosing,
    select: (keys, request) => selectInSteps(keys, request, choosing),
    pool: (values, request) => pool(binding, breathe, values, request),
    dotRows: (table, request) => dotRows(binding, breathe, table, request),
    mergePartials: reference.mergePartials,
    packVectors: reference.packVectors,
    unpackVectors: reference.unpackVectors,
    close: async () => {},
  };
}

function parseDevice(text: string | null): TensorflowDevice | null {
  if (text === null || text === 'cpu') return text;
  const number = /^gpu:(\d+)$/.exec(text)?.[1];
  if (number === undefined)
    throw new OperatingError('USAGE', `the device is "${text}"; expected cpu or gpu:N, as gpu:0; correct it`);
  return `gpu:${Number(number)}`;
}
