import type { TensorSource } from '@ultramem/checkpoint';
import type { Candidates, Range, Selection, ValueAddresses } from '@ultramem/ultramem';
import type { ActivationDType, AttendRequest, FeedForward, RopeTable } from './dense.ts';
import type { PackedEncoding } from './packed-vectors.ts';
import type { PooledPart, PooledSize } from './pooled-part.ts';
import type { DotRequest, PoolRequest } from './pooling.ts';
import type { AddressRequest, GridRequest, ScoreRequest, SelectedSlots, SelectRequest } from './selection.ts';

/**
 * The arithmetic of weights, as one contract for all backends. A backend owns its tables: `load…` copies or maps what
 * it needs out of a `TensorSource` and returns a handle that only the same backend understands.
 *
 * Every method is asynchronous, because native threads and GPUs answer later. An array handed in must not be changed
 * until the promise settles; an array handed out belongs to the caller. Shapes are row-major. Sizes of arrays that do not fit together
 * are assertions; numbers out of range (a slot, a token id) are `OperatingError`s on every backend.
 */
export interface Kernels {
  readonly backend: string;

  /** A dense weight `[rows, columns]`, kept in its stored dtype or wider, that multiplies `activations`; F32 where nothing is said. */
  loadMatrix(source: TensorSource, activations?: ActivationDType): Promise<Matrix>;
  /** Key rows `range` of both axes of `keys [heads, 2, keyCount, width(, rank)]`, normalised over the width when `norm` is given. */
  loadKeys(source: TensorSource, range: Range, norm: Norm | null): Promise<KeyTable>;
  /** A rectangle of a value or pre-value table `[tableRows, width]`, kept in its stored dtype. */
  loadValues(source: TensorSource, rows: Range, columns: Range): Promise<ValueTable>;

  /**
   * `x weightᵀ + bias`: x `[rowCount, columns]` to `[rowCount, rows]`. For a weight that multiplies activations in BF16, `x` is rounded to
   * the nearest bf16 first, ties to even; products and sums are as for F32.
   */
  matmul(weight: Matrix, x: Float32Array, rowCount: number, bias: Float32Array | null): Promise<Float32Array>;
  /**
   * The MLP on `x [rowCount, width]` (SEMANTICS 2.2 step 8). Both products are `matmul`'s; what lies between is rounded to f32 after the
   * first and after the non-linearity. A row's result is the same alone and in any batch.
   *
   * @returns the shape of `x`
   */
  feedForward(layer: FeedForward, x: Float32Array, rowCount: number): Promise<Float32Array>;
  /**
   * Each row of `x [rows, width]` over its width (SEMANTICS 1.1): statistics in f64, the bracket rounded to f32 before the weight.
   *
   * @returns `[rows, width]`; `x` stays as it is
   */
  normalise(norm: Norm, x: Float32Array, width: number): Promise<Float32Array>;
  /** Every head of `x [positions, heads, headWidth]` in place to its row's position (SEMANTICS 2.2 step 4), each number rounded to f32 once. */
  rotate(rope: RopeTable, x: Float32Array, positions: Uint32Array): Promise<void>;
  /** `sum += addend`, element by element, each sum rounded to f32: what the residual stream takes up. */
  addInto(sum: Float32Array, addend: Float32Array): Promise<void>;
  /**
   * Causal softmax attention of each sequence's new tokens over its own whole cache (SEMANTICS 2.2 step 5). A token's result is the
   * same alone and in any batch.
   *
   * @returns the shape of the query
   */
  attend(request: AttendRequest): Promise<Float32Array>;

  /** Refined scores of the table's key rows and, per token, head and side, the best `k` by collapsed score (SEMANTICS 4.2, 4.3). */
  scoreKeys(keys: KeyTable, request: ScoreRequest): Promise<Candidates>;
  /** Exact scores on the k x k grid and its best k (SEMANTICS 4.4; section 6 steps 4 and 5 where `cores` is null). */
  selectGrid(request: GridRequest): Promise<Selection>;
  /** Where winners lie: `addressValues` of every virtual index (SEMANTICS 4.5, 5.4). */
  address(request: AddressRequest): Promise<ValueAddresses>;
  /**
   * All in one call, for whoever holds every key: `selectGrid` of `scoreKeys`, and `address`, to the last bit. Candidates need not be
   * ranked or scored exactly further than the winners need.
   */
  select(keys: KeyTable, request: SelectRequest): Promise<SelectedSlots>;

  /** Gathers, weights and sums slots into blocks (SEMANTICS 4.6, 5.5, 5.6); `[tokenCount, blocks, table columns]`. */
  pool(values: ValueTable, request: PoolRequest): Promise<Float32Array>;
  /** Dot product of each entry's table row with its token's query; `[entries]` in f64, so that partial sums can be added exactly enough. */
  dotRows(table: ValueTable, request: DotRequest): Promise<Float64Array>;
  /**
   * Pooled vectors `[tokenCount, blockCount, width]` of a batch from what shards pooled of it. Column ranges are put side by side; parts
   * of the same columns are added in the order of `parts`, in f64, and rounded once. A part adds nothing to a token that it lacks, not
   * even a +0 to a -0; a token that no part has gets zeros of either sign.
   */
  mergePartials(parts: readonly PooledPart[], size: PooledSize): Promise<Float32Array>;
  /**
   * Vectors `[.., width]` rounded for a slow link: to bf16, nearest and ties to even, each number off by at most 2^-8 of itself; or to rows
   * of INT8_BLOCK64, halves upwards, each off by at most half a scale, 1/254 of its block's largest and a little.
   *
   * @returns a new array of `packedBytes`, or null where a number is not finite, for which int8 has no place
   */
  packVectors(values: Float32Array, width: number, encoding: PackedEncoding): Promise<Uint8Array | null>;
  /** The `count` numbers `[.., width]` again, exactly as they were rounded, or null where the bytes are not that many; they may begin anywhere. */
  unpackVectors(
    bytes: Uint8Array,
    count: number,
    width: number,
    encoding: PackedEncoding,
  ): Promise<Float32Array | null>;

  /** Gives back what the backend itself holds: a device, threads. Its handles are released by then. */
  close(): Promise<void>;
}

interface Loaded {
  /** Bytes this handle keeps in memory, on the host or a device. */
  readonly residentBytes: number;
  /** Gives the memory back; the handle may not be used afterwards. */
  release(): void;
}

export interface Matrix extends Loaded {
  readonly rows: number;
  readonly columns: number;
  readonly activations: ActivationDType;
}

export interface KeyTable extends Loaded {
  readonly headCount: number;
  readonly range: Range;
  readonly width: number;
  readonly rank: number;
}

export interface ValueTable extends Loaded {
  readonly rows: Range;
  readonly columns: Range;
  /** Columns of the whole table; decides which core weighs a column. */
  readonly fullWidth: number;
}

/** SEMANTICS 1.1. A missing weight counts as 1, a missing bias as 0. */
export interface Norm {
  readonly kind: 'rms' | 'layer';
  readonly eps: number;
  readonly weight: Float32Array | null;
  readonly bias: Float32Array | null;
}
