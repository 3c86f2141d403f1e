import type { FloatDType } from '@ultramem/checkpoint';
import {
  assertPool,
  gateWeights,
  localRows,
  type PoolRequest,
  refuseBlock,
  type ValueTable,
} from '@ultramem/kernels';
import { rangeLength } from '@ultramem/ultramem';
import { dotRows } from './dot-rows.ts';
import { type Gpu, inTwoDimensions } from './gpu.ts';
import { type Groups, groupEntries } from './group-entries.ts';
import { doubtBelow, isDoubtful, spanOf } from './span.ts';
import { ownValues, type WebgpuValues } from './value-table.ts';
import { ELEMENT, KEEP } from './wgsl.ts';

const THREADS = 64;
/** Sums of one command list. */
const RESULT_BYTES_MAX = 64 * 2 ** 20;

/**
 * Weighted sums of slots per token and block, `[tokenCount, blockCount, table columns]` (SEMANTICS 4.6, 5.5, 5.6). On the device
 * entries are added in their order in f32 with the rounding errors summed beside them; a column depends on nothing but itself,
 * so slices agree bit for bit with the whole. Groups that denormals or an overflow may have spoilt are summed on the host.
 *
 * @throws OperatingError SLOT_OUT_OF_RANGE, BLOCK_OUT_OF_RANGE.
 */
export async function pool(gpu: Gpu, handle: ValueTable, request: PoolRequest): Promise<Float32Array> {
  const values = ownValues(handle);
  const { tokenCount, slot, block, blockCount, weight } = request;
  assertPool(values, request);
  const rows = localRows(values.rows, slot);
  for (const target of block) refuseBlock(target, blockCount);
  const weights = request.pre === null ? weight : await gatedWeights(gpu, request, request.pre);
  const width = rangeLength(values.columns);
  const result = new Float32Array(tokenCount * blockCount * width);
  const groups = groupEntries(request, rows, weights);
  const perJob = Math.max(1, Math.floor(RESULT_BYTES_MAX / 4 / Math.max(1, width)));
  for (let first = 0; first < groups.target.length; first += perJob)
    await dispatchGroups(
      gpu,
      values,
      groups,
      { first, end: Math.min(groups.target.length, first + perJob) },
      result,
    );
  await recomputeDoubtful(values, groups, result);
  return result;
}

async function gatedWeights(
  gpu: Gpu,
  request: PoolRequest,
  pre: NonNullable<PoolRequest['pre']>,
): Promise<Float32Array> {
  const { tokenCount, entryStart, slot, weight, coreCount } = request;
  const dots = await dotRows(gpu, pre.table, { tokenCount, entryStart, slot, query: pre.query });
  return gateWeights(dots, weight, coreCount, pre.activation);
}

/** Sums groups `first .. end - 1` and puts them into their places of the result. */
async function dispatchGroups(
  gpu: Gpu,
  { table, columns, fullWidth }: WebgpuValues,
  groups: Groups,
  { first, end }: { first: number; end: number },
  result: Float32Array,
): Promise<void> {
  const pipeline = await gpu.pipeline(poolShader(table.dtype));
  const count = end - first;
  const { target, start, rows, weights, coreCount } = groups;
  const [firstEntry, endEntry] = [start[first], start[end]];
  await gpu.job(async (job) => {
    const starts = job.upload(start.slice(first, end + 1).map((entry) => entry - firstEntry));
    const entryRows = job.upload(rows.subarray(firstEntry, endEntry));
    const entryWeights = job.upload(weights.subarray(firstEntry * coreCount, endEntry * coreCount));
    const outputs = table.parts.map((part) => {
      const width = rangeLength(part.columns);
      const output = job.scratch(count * width * 4);
      const firstColumn = columns.start + part.columns.start;
      const params = job.uniform([
        count,
        width,
        part.rowWords,
        firstColumn,
        fullWidth / coreCount,
        coreCount,
        0,
      ]);
      const [y, z] = inTwoDimensions(count);
      job.dispatch(
        pipeline,
        [params, part.region, starts, entryRows, entryWeights, output],
        [Math.ceil(width / THREADS), y, z],
      );
      return output;
    });
    (await job.read(outputs)).forEach((bytes, p) => {
      const floats = new Float32Array(bytes);
      const { columns: own } = table.parts[p];
      const width = rangeLength(own);
      for (let i = 0; i < count; i++)
        result.set(floats.subarray(i * width, (i + 1) * width), target[first + i] * table.width + own.start);
    });
  });
}

async function recomputeDoubtful(
  { table, columns, fullWidth }: WebgpuValues,
  { target, start, rows, weights, coreCount }: Groups,
  result: Float32Array,
): Promise<void> {
  const { width, span } = table;
  const part = fullWidth / coreCount;
  for (let group = 0; group < target.length; group++) {
    const [first, end] = [start[group], start[group + 1]];
    const doubt = doubtBelow(span, spanOf(weights.subarray(first * coreCount, end * coreCount)), end - first);
    if (doubt === 0) continue;
    const at = target[group] * width;
    const sums = result.subarray(at, at + width);
    if (!sums.some((sum) => isDoubtful(sum, doubt))) continue;
    const floats = await table.readRows(rows.subarray(first, end));
    const exact = new Float64Array(width);
    for (let entry = first; entry < end; entry++)
      for (let c = 0; c < width; c++) {
        const core = Math.floor((columns.start + c) / part);
        exact[c] += weights[entry * coreCount + core] * floats[(entry - first) * width + c];
      }
    // Only what is doubtful: a column has the same bits whatever columns are beside it.
    for (let c = 0; c < width; c++) if (isDoubtful(sums[c], doubt)) sums[c] = exact[c];
  }
}

/** One thread per column of a group. */
function poolShader(dtype: FloatDType): string {
  return `
    struct Params {
      groups: u32, width: u32, rowWords: u32, firstColumn: u32, coreWidth: u32, coreCount: u32, zero: u32
    }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> words: array<u32>;
    @group(0) @binding(2) var<storage, read> groupStart: array<u32>;
    @group(0) @binding(3) var<storage, read> rows: array<u32>;
    @group(0) @binding(4) var<storage, read> weights: array<f32>;
    @group(0) @binding(5) var<storage, read_write> result: array<f32>;
    ${ELEMENT[dtype]}
    ${KEEP}
    @compute @workgroup_size(${THREADS})
    fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
      let column = workgroup.x * ${THREADS}u + thread;
      let group = workgroup.y + workgroup.z * 65535u;
      if (column >= params.width || group >= params.groups) { return; }
      let core = (params.firstColumn + column) / params.coreWidth;
      var sum = 0.0;
      var lost = 0.0;
      for (var entry = groupStart[group]; entry < groupStart[group + 1u]; entry++) {
        let term = keep(weights[entry * params.coreCount + core] * element(rows[entry], column));
        let next = keep(sum + term);
        let isSumLarger = abs(sum) >= abs(term);
        let larger = select(term, sum, isSumLarger);
        let smaller = select(sum, term, isSumLarger);
        lost += keep(keep(larger - next) + smaller);
        sum = next;
      }
      result[group * params.width + column] = sum + lost;
    }`;
}
