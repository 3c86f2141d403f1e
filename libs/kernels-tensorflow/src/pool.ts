import {
  assertPool,
  coreEdges,
  gateWeights,
  localRows,
  type PoolRequest,
  refuseBlock,
  type ValueTable,
} from '@ultramem/kernels';
import { rangeLength } from '@ultramem/ultramem';
import type { Binding } from './binding.ts';
import { dotRows } from './dot-rows.ts';
import { ownValues, type TensorflowValues } from './load-values.ts';
import { isSettled, sumBound } from './settled.ts';
import { TYPE, withTensors } from './tensors.ts';

/** Elements of gathered rows in f64 that one call holds: 4 MB stay in the cache of a CPU, 128 MB keep a GPU busy. */
const ELEMENTS_MAX = { cpu: 5e5, gpu: 1.6e7 };

/** A request whose weights are complete, with rows counted from the first of the table. */
interface Pooling {
  table: TensorflowValues;
  request: PoolRequest;
  weights: Float32Array; // [entries, coreCount]
  local: Uint32Array; // [entries]
  width: number;
  edges: number[]; // of the cores' columns
}

/**
 * Weighted sums of slots per token and block, `[tokenCount, blockCount, table columns]` (SEMANTICS 4.6, 5.5, 5.6): one product of
 * weights and gathered rows per token, in f64. Sums whose rounding depends on the order are added again in that of the
 * entries, which gives the bits of the reference.
 *
 * @throws OperatingError SLOT_OUT_OF_RANGE, BLOCK_OUT_OF_RANGE.
 */
export async function pool(
  binding: Binding,
  breathe: () => Promise<void>,
  handle: ValueTable,
  request: PoolRequest,
): Promise<Float32Array> {
  const table = ownValues(handle);
  assertPool(table, request);
  for (const block of request.block) refuseBlock(block, request.blockCount);
  const { tokenCount, entryStart, blockCount, coreCount } = request;
  const local = localRows(table.rows, request.slot);
  const weights = request.pre === null ? request.weight : await gated(binding, breathe, request, request.pre);
  const width = rangeLength(table.columns);
  const result = new Float32Array(tokenCount * blockCount * width);
  if (width === 0) return result;
  const pooling: Pooling = { table, request, weights, local, width, edges: coreEdges(table, coreCount) };
  const elements = ELEMENTS_MAX[binding.isUsingGpuDevice() ? 'gpu' : 'cpu'];
  for (let first = 0; first < tokenCount; ) {
    let end = first;
    let most = 0; // entries of a token
    while (end < tokenCount) {
      const count = Math.max(most, entryStart[end + 1] - entryStart[end]);
      if (end > first && (end + 1 - first) * count * width > elements) break;
      most = count;
      end++;
    }
    if (first > 0) await breathe();
    if (most > 0) poolTokens(binding, pooling, { start: first, end, most }, result);
    first = end;
  }
  return result;
}

async function gated(
  binding: Binding,
  breathe: () => Promise<void>,
  { tokenCount, entryStart, slot, weight, coreCount }: PoolRequest,
  pre: NonNullable<PoolRequest['pre']>,
): Promise<Float32Array> {
  const dots = await dotRows(binding, breathe, pre.table, { tokenCount, entryStart, slot, query: pre.query });
  return gateWeights(dots, weight, coreCount, pre.activation);
}

function poolTokens(
  binding: Binding,
  pooling: Pooling,
  { start, end, most }: { start: number; end: number; most: number },
  result: Float32Array,
): void {
  const { table, request, width, edges } = pooling;
  const { blockCount, coreCount } = request;
  const size = blockCount * width;
  if (table.largest === Number.POSITIVE_INFINITY) {
    for (let token = start; token < end; token++)
      result.set(poolOnHost(binding, pooling, token), token * size);
    return;
  }
  const { rows, weights, magnitude } = padded(pooling, start, end, most);
  const tokenCount = end - start;
  const sums = withTensors(binding, (tensors) => {
    const gathered = tensors.reshape(table.gatherWide(tensors, rows), TYPE.F64, [tokenCount, most, width]);
    const wide = tensors.f64([tokenCount, coreCount * blockCount, most], weights);
    return tensors.readF64(tensors.matmul(TYPE.F64, wide, gathered, false)); // [tokens, cores, blocks, width]
  });
  for (let t = 0; t < tokenCount; t++) {
    let exact: Float32Array | null = null;
    for (let core = 0; core < coreCount; core++)
      for (let block = 0; block < blockCount; block++) {
        const group = (t * coreCount + core) * blockCount + block;
        const bound = sumBound(most, magnitude[group] * table.largest);
        for (let c = edges[core]; c < edges[core + 1]; c++) {
          const sum = sums[group * width + c];
          const at = block * width + c;
          if (isSettled(sum, bound)) {
            result[(start + t) * size + at] = sum + 0;
            continue;
          }
          exact ??= poolOnHost(binding, pooling, start + t);
          result[(start + t) * size + at] = exact[at];
        }
      }
  }
}

/**
 * The entries of some tokens as rectangles: rows `[tokens, most]`, weights `[tokens, cores, blocks, most]`, which are 0 for other
 * blocks and where a token has fewer entries; and the sum of the absolute weights of each group.
 */
function padded({ request, weights, local }: Pooling, start: number, end: number, most: number) {
  const { entryStart, block, blockCount, coreCount } = request;
  const groups = (end - start) * coreCount * blockCount;
  const result = {
    rows: new Uint32Array((end - start) * most),
    weights: new Float64Array(groups * most),
    magnitude: new Float64Array(groups),
  };
  for (let token = start; token < end; token++)
    for (let entry = entryStart[token], i = 0; entry < entryStart[token + 1]; entry++, i++) {
      result.rows[(token - start) * most + i] = local[entry];
      for (let core = 0; core < coreCount; core++) {
        const group = ((token - start) * coreCount + core) * blockCount + block[entry];
        const weight = weights[entry * coreCount + core];
        result.weights[group * most + i] = weight;
        result.magnitude[group] += Math.abs(weight);
      }
    }
  return result;
}

/** One token in the order of its entries, from rows fetched by their bits, `[blockCount, width]`. */
function poolOnHost(
  binding: Binding,
  { table, request, weights, local, width, edges }: Pooling,
  token: number,
): Float32Array {
  const { entryStart, block, blockCount, coreCount } = request;
  const [first, last] = [entryStart[token], entryStart[token + 1]];
  const sums = new Float64Array(blockCount * width);
  if (first === last) return Float32Array.from(sums);
  const rows = withTensors(binding, (tensors) => table.readRows(tensors, local.subarray(first, last)));
  for (let entry = first; entry < last; entry++)
    for (let core = 0; core < coreCount; core++) {
      const weight = weights[entry * coreCount + core];
      for (let c = edges[core]; c < edges[core + 1]; c++)
        sums[block[entry] * width + c] += weight * rows[(entry - first) * width + c];
    }
  return Float32Array.from(sums);
}
