import type { FloatDType } from '@ultramem/checkpoint';
import {
  assertDots,
  type DotRequest,
  dot,
  localRows,
  tokenOfEntry,
  type ValueTable,
} from '@ultramem/kernels';
import { rangeLength } from '@ultramem/ultramem';
import { type Gpu, inTwoDimensions } from './gpu.ts';
import { doubtBelow, isDoubtful, spanOf } from './span.ts';
import { ownValues, type WebgpuValues } from './value-table.ts';
import { ELEMENT, KEEP, PAIRS } from './wgsl.ts';

/** Threads that share the columns of an entry. */
const THREADS = 32;
/** Entries of one command list. */
const ENTRIES_MAX = 2 ** 20;

/**
 * Dot product of each entry's row with its token's query, `[entries]`: on the device as an unevaluated sum of two f32, good to about
 * 2^-35 of the sum of |terms|; on the host in f64 where denormals or an overflow may have spoilt that.
 *
 * @throws OperatingError SLOT_OUT_OF_RANGE for a slot outside the handle's rows.
 */
export async function dotRows(gpu: Gpu, handle: ValueTable, request: DotRequest): Promise<Float64Array> {
  const values = ownValues(handle);
  const { slot, query } = request;
  assertDots(values, request);
  const rows = localRows(values.rows, slot);
  const tokens = tokenOfEntry(request);
  const dots = new Float64Array(slot.length);
  for (let first = 0; first < slot.length; first += ENTRIES_MAX) {
    const end = Math.min(slot.length, first + ENTRIES_MAX);
    const some = { rows: rows.subarray(first, end), tokens: tokens.subarray(first, end) };
    await dispatchDots(gpu, values, some, query, dots.subarray(first, end));
  }
  await recomputeDoubtful(values, { rows, tokens }, query, dots);
  return dots;
}

interface Entries {
  rows: Uint32Array;
  tokens: Uint32Array;
}

/** Adds up the parts of the columns. */
async function dispatchDots(
  gpu: Gpu,
  { table }: WebgpuValues,
  entries: Entries,
  query: Float32Array,
  into: Float64Array,
): Promise<void> {
  const pipeline = await gpu.pipeline(dotShader(table.dtype));
  const count = into.length;
  await gpu.job(async (job) => {
    const [rows, tokens, queries] = [job.upload(entries.rows), job.upload(entries.tokens), job.upload(query)];
    const outputs = table.parts.map(({ region, columns, rowWords }) => {
      const output = job.scratch(count * 8);
      const params = job.uniform([count, rangeLength(columns), rowWords, columns.start, table.width, 0]);
      job.dispatch(pipeline, [params, region, rows, tokens, queries, output], inTwoDimensions(count));
      return output;
    });
    for (const bytes of await job.read(outputs)) {
      const pairs = new Float32Array(bytes);
      for (let entry = 0; entry < count; entry++) into[entry] += pairs[2 * entry] + pairs[2 * entry + 1];
    }
  });
}

async function recomputeDoubtful(
  { table }: WebgpuValues,
  { rows, tokens }: Entries,
  query: Float32Array,
  dots: Float64Array,
): Promise<void> {
  const { width, span } = table;
  const doubtOfToken = Float64Array.from({ length: width === 0 ? 0 : query.length / width }, (_, token) =>
    doubtBelow(span, spanOf(query.subarray(token * width, (token + 1) * width)), width),
  );
  const doubtful: number[] = [];
  for (let entry = 0; entry < dots.length; entry++) {
    const doubt = doubtOfToken[tokens[entry]];
    if (doubt > 0 && isDoubtful(dots[entry], doubt)) doubtful.push(entry);
  }
  const perRead = Math.max(1, Math.floor(2 ** 22 / Math.max(1, width)));
  for (let first = 0; first < doubtful.length; first += perRead) {
    const some = doubtful.slice(first, first + perRead);
    const floats = await table.readRows(some.map((entry) => rows[entry]));
    some.forEach((entry, at) => {
      dots[entry] = dot(floats, at * width, query, tokens[entry] * width, width);
    });
  }
}

/** One workgroup per entry, whose threads share the columns. */
function dotShader(dtype: FloatDType): string {
  return `
    struct Params { entries: u32, width: u32, rowWords: u32, firstColumn: u32, queryWidth: u32, zero: u32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> words: array<u32>;
    @group(0) @binding(2) var<storage, read> rows: array<u32>;
    @group(0) @binding(3) var<storage, read> tokens: array<u32>;
    @group(0) @binding(4) var<storage, read> query: array<f32>;
    @group(0) @binding(5) var<storage, read_write> dots: array<vec2f>;
    ${ELEMENT[dtype]}
    ${KEEP}
    ${PAIRS}
    var<workgroup> partial: array<vec2f, ${THREADS}>;

    @compute @workgroup_size(${THREADS})
    fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
      let entry = group.x + group.y * 65535u;
      var sum = vec2f(0.0, 0.0);
      if (entry < params.entries) {
        let row = rows[entry];
        let queryAt = tokens[entry] * params.queryWidth + params.firstColumn;
        for (var column = thread; column < params.width; column += ${THREADS}u) {
          sum = addProduct(sum, element(row, column), query[queryAt + column]);
        }
      }
      partial[thread] = sum;
      workgroupBarrier();
      if (thread > 0u || entry >= params.entries) { return; }
      for (var i = 1u; i < ${THREADS}u; i++) {
        sum = addExactly(sum, partial[i].x);
        sum.y += partial[i].y;
      }
      dots[entry] = sum;
    }`;
}
