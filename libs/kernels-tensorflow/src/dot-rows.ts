import {
  assertDots,
  type DotRequest,
  dot,
  localRows,
  tokenOfEntry,
  type ValueTable,
} from '@ultramem/kernels';
import { rangeLength } from '@ultramem/ultramem';
import type { Binding } from './binding.ts';
import { ownValues, type TensorflowValues } from './load-values.ts';
import { type TensorId, type Tensors, TYPE, typeOf, withTensors } from './tensors.ts';

/** Columns that differ by a multiple of this are summed together, as in the kernels' `dot`. */
const LANES = 8;
/** Elements of rows in f64 that one call holds: 16 MB. */
const ELEMENTS_MAX = 2e6;
/** Below this many multiplications the rows are fetched and multiplied here. */
const HOST_MACS = 1e5;

/**
 * Dot product of each entry's row with its token's query, `[entries]` in f64 (SEMANTICS 5.5), in the order of the kernels' `dot`
 * on the device too: so the bits are the reference's.
 *
 * @throws OperatingError SLOT_OUT_OF_RANGE
 */
export async function dotRows(
  binding: Binding,
  breathe: () => Promise<void>,
  handle: ValueTable,
  request: DotRequest,
): Promise<Float64Array> {
  const table = ownValues(handle);
  const width = rangeLength(table.columns);
  const { slot, query } = request;
  assertDots(table, request);
  const local = localRows(table.rows, slot);
  const dots = new Float64Array(slot.length);
  if (width === 0) return dots;
  const token = tokenOfEntry(request);
  const onHost = slot.length * width < HOST_MACS || table.largest === Number.POSITIVE_INFINITY;
  const step = Math.max(1, Math.floor(ELEMENTS_MAX / width));
  for (let first = 0; first < slot.length; first += step) {
    if (first > 0) await breathe();
    const end = Math.min(first + step, slot.length);
    const [rows, tokens] = [local.subarray(first, end), token.subarray(first, end)];
    const part = (onHost ? dotOnHost : dotOnDevice)(binding, table, rows, tokens, query);
    dots.set(part, first);
  }
  return dots;
}

function dotOnHost(
  binding: Binding,
  table: TensorflowValues,
  local: Uint32Array,
  token: Uint32Array,
  query: Float32Array,
): Float64Array {
  const width = rangeLength(table.columns);
  const rows = withTensors(binding, (tensors) => table.readRows(tensors, local));
  return Float64Array.from(local, (_, i) => dot(rows, i * width, query, token[i] * width, width));
}

function dotOnDevice(
  binding: Binding,
  table: TensorflowValues,
  local: Uint32Array,
  token: Uint32Array,
  query: Float32Array,
): Float64Array {
  const width = rangeLength(table.columns);
  const lanes = withTensors(binding, (tensors) => {
    const queries = tensors.widened([query.length / width, width], query);
    const perEntry = tensors.gather(queries, TYPE.F64, tensors.indices(token), TYPE.I64, 0);
    return tensors.readF64(
      laneSums(tensors, tensors.multiply(table.gatherWide(tensors, local), perEntry), local.length, width),
    );
  });
  const s = (i: number, lane: number) => lanes[i * LANES + lane];
  return Float64Array.from(
    local,
    (_, i) => 0 + (s(i, 0) + s(i, 4) + (s(i, 2) + s(i, 6)) + (s(i, 1) + s(i, 5) + (s(i, 3) + s(i, 7)))),
  );
}

/** `[rows, 8]`: products of columns that differ by a multiple of 8, added one after the other. */
function laneSums(tensors: Tensors, products: TensorId, rows: number, width: number): TensorId {
  const chunks = Math.ceil(width / LANES);
  const padded = tensors.run(
    'Pad',
    [typeOf('T', TYPE.F64), typeOf('Tpaddings', TYPE.I32)],
    [products, tensors.i32([2, 2], [0, 0, 0, chunks * LANES - width])],
  );
  const parts = tensors.unpack(tensors.reshape(padded, TYPE.F64, [rows, chunks, LANES]), chunks, 1);
  return parts.reduce((sums, part) => tensors.add(sums, part));
}
