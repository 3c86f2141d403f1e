import { DTYPE_BYTES, type FloatDType, type TensorSource } from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import {
  type Activation,
  type ActivationDType,
  type AttendRequest,
  assertAttend,
  assertFeedForward,
  assertProduct,
  assertRotation,
  type FeedForward,
  type Kernels,
  type Linear,
  type Matrix,
} from '@ultramem/kernels';
import type { Addon, Engine, NativeHandle, Pending } from './load-addon.ts';
import { Resident } from './resident.ts';
import { unwritten } from './unwritten.ts';

type MatrixHandle = NativeHandle<'matrix'>;
type LinearArguments = [MatrixHandle, bias: Float32Array | null];

/** `native/addon/dense.cc`. */
export interface DenseAddon {
  createMatrix(dtype: number, rows: number, columns: number, roundsX: boolean): MatrixHandle;
  fillMatrix(engine: Engine, matrix: MatrixHandle, firstRow: number, bytes: Uint8Array): Pending;
  releaseMatrix(matrix: MatrixHandle): void;
  matrixBytes(matrix: MatrixHandle): number;
  matmul(
    engine: Engine,
    matrix: MatrixHandle,
    x: Float32Array,
    rowCount: number,
    bias: Float32Array | null,
    out: Float32Array,
  ): Pending;
  feedForward(
    engine: Engine,
    ...rest: [
      ...inner: LinearArguments,
      activation: number,
      ...outer: LinearArguments,
      x: Float32Array,
      rowCount: number,
      out: Float32Array,
    ]
  ): Pending;
  normalise(
    engine: Engine,
    x: Float32Array,
    width: number,
    centred: boolean,
    eps: number,
    weight: Float32Array | null,
    bias: Float32Array | null,
    out: Float32Array,
  ): Pending;
  rotate(
    engine: Engine,
    x: Float32Array,
    half: number,
    cos: Float32Array,
    sin: Float32Array,
    positions: Uint32Array,
  ): Pending;
  addInto(engine: Engine, sum: Float32Array, addend: Float32Array): Pending;
  /** `cached`: keys and values of each sequence in turn; `counts`: its queries and keys. */
  attend(
    engine: Engine,
    cached: readonly Float32Array[],
    query: Float32Array,
    counts: Uint32Array,
    headCount: number,
    kvHeadCount: number,
    headWidth: number,
    alibiSlopes: Float32Array | null,
    out: Float32Array,
  ): Pending;
}

/** As `Dtype` of `native/core/matmul.h`. */
const DTYPES: readonly FloatDType[] = ['F32', 'BF16', 'F16'];
/** As `Activation` of `native/core/activation.h`. */
const ACTIVATIONS: readonly Activation[] = ['swiglu', 'gelu', 'relu'];
const PIECE_BYTES = 8 * 1024 * 1024;

class NativeMatrix extends Resident<MatrixHandle> implements Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly activations: ActivationDType;

  constructor(
    addon: Addon,
    handle: MatrixHandle,
    rows: number,
    columns: number,
    activations: ActivationDType,
  ) {
    super(handle, addon.matrixBytes(handle), addon.releaseMatrix);
    this.rows = rows;
    this.columns = columns;
    this.activations = activations;
  }
}

/** Weights in their stored width, products in f32 with one order of sums for every batch size and thread count. */
export function denseKernels(addon: Addon, engine: Engine) {
  return {
    loadMatrix: (source, activations) => loadMatrix(addon, engine, source, activations),
    matmul: async (weight, x, rowCount, bias) => {
      const handle = handleOf(weight);
      assertProduct(weight, x, rowCount, bias);
      const out = unwritten(Float32Array, rowCount * weight.rows);
      const pending = addon.matmul(engine, handle, x, rowCount, bias, out);
      if (pending !== undefined) await pending;
      return out;
    },
    feedForward: (layer, x, rowCount) => feedForward(addon, engine, layer, x, rowCount),
    normalise: async ({ kind, eps, weight, bias }, x, width) => {
      assert(width > 0 && x.length % width === 0, 'x has whole rows');
      const out = unwritten(Float32Array, x.length);
      await addon.normalise(engine, x, width, kind === 'layer', eps, weight, bias, out);
      return out;
    },
    rotate: async (rope, x, positions) => {
      assertRotation(rope, x, positions);
      const { headWidth, cos, sin } = rope;
      const pending = addon.rotate(engine, x, headWidth / 2, cos, sin, positions);
      if (pending !== undefined) await pending;
    },
    addInto: async (sum, addend) => {
      assert(sum.length === addend.length, 'what is added has the shape of the sum');
      await addon.addInto(engine, sum, addend);
    },
    attend: (request) => attend(addon, engine, request),
  } satisfies Partial<Kernels>;
}

function handleOf(weight: Matrix): MatrixHandle {
  assert(weight instanceof NativeMatrix, 'a matrix is used by the backend that loaded it');
  return weight.handle;
}

async function feedForward(
  addon: Addon,
  engine: Engine,
  layer: FeedForward,
  x: Float32Array,
  rowCount: number,
): Promise<Float32Array> {
  assertFeedForward(layer, x, rowCount);
  const { inner, activation, outer } = layer;
  const linear = ({ weight, bias }: Linear): LinearArguments => [handleOf(weight), bias];
  const out = unwritten(Float32Array, rowCount * outer.weight.rows);
  const kind = ACTIVATIONS.indexOf(activation);
  const pending = addon.feedForward(engine, ...linear(inner), kind, ...linear(outer), x, rowCount, out);
  if (pending !== undefined) await pending;
  return out;
}

async function attend(addon: Addon, engine: Engine, request: AttendRequest): Promise<Float32Array> {
  const { query, sequences, headCount, kvHeadCount, headWidth, alibiSlopes } = request;
  assertAttend(request);
  const cached = sequences.flatMap(({ keys, values }) => [keys, values]);
  const counts = Uint32Array.from(sequences.flatMap(({ queryCount, keyCount }) => [queryCount, keyCount]));
  const out = unwritten(Float32Array, query.length);
  const shape = [headCount, kvHeadCount, headWidth] as const;
  const pending = addon.attend(engine, cached, query, counts, ...shape, alibiSlopes, out);
  if (pending !== undefined) await pending;
  return out;
}

/** Reads pieces of whole rows; the stored bytes are in memory once. */
async function loadMatrix(
  addon: Addon,
  engine: Engine,
  source: TensorSource,
  activations: ActivationDType = 'F32',
): Promise<NativeMatrix> {
  assert(source.shape.length === 2, 'a matrix has two axes');
  assert(source.dtype !== 'I64' && source.dtype !== 'INT8_BLOCK64', `${source.name} holds floats`);
  const [rows, columns] = source.shape as [number, number];
  const handle = addon.createMatrix(DTYPES.indexOf(source.dtype), rows, columns, activations === 'BF16');
  const rowBytes = columns * DTYPE_BYTES[source.dtype];
  const rowsPerPiece = Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
  for (let row = 0; row < rows && rowBytes > 0; row += rowsPerPiece) {
    const count = Math.min(rowsPerPiece, rows - row);
    const bytes = await source.read(row * rowBytes, count * rowBytes);
    await addon.fillMatrix(engine, handle, row, bytes);
  }
  return new NativeMatrix(addon, handle, rows, columns, activations);
}
