import { assert, present } from '@ultramem/invariant';
import type { Binding, OpAttribute } from './binding.ts';

/** A tensor of the binding. */
export type TensorId = number;

/** `TF_DataType` of TensorFlow's C interface. */
export const TYPE = {
  F32: 1,
  F64: 2,
  I32: 3,
  U8: 4,
  I16: 5,
  I8: 6,
  I64: 9,
  BOOL: 10,
  BF16: 14,
  F16: 19,
} as const;
export type Type = (typeof TYPE)[keyof typeof TYPE];

/** `TF_AttrType` of the same. */
const ATTRIBUTE = { STRING: 0, INT: 1, BOOL: 3, TYPE: 4, SHAPE: 5 } as const;

export function typeOf(name: string, value: Type): OpAttribute {
  return { name, type: ATTRIBUTE.TYPE, value };
}

export function intOf(name: string, value: number): OpAttribute {
  return { name, type: ATTRIBUTE.INT, value };
}

export function boolOf(name: string, value: boolean): OpAttribute {
  return { name, type: ATTRIBUTE.BOOL, value };
}

export function stringOf(name: string, value: string): OpAttribute {
  return { name, type: ATTRIBUTE.STRING, value };
}

export function shapeOf(name: string, value: readonly number[]): OpAttribute {
  return { name, type: ATTRIBUTE.SHAPE, value };
}

/**
 * Runs `body` and frees every tensor it made, also when it throws, except those it kept. Nothing in it waits: the binding's calls
 * return when the result is there (on a GPU: when it is asked for).
 */
export function withTensors<T>(binding: Binding, body: (tensors: Tensors) => T): T {
  const tensors = new Tensors(binding);
  try {
    return body(tensors);
  } finally {
    tensors.free();
  }
}

/** TensorFlow's operations that the kernels use, on tensors that live as long as one call. Shapes are row-major. */
export class Tensors {
  readonly #binding: Binding;
  readonly #made = new Set<TensorId>();

  constructor(binding: Binding) {
    this.#binding = binding;
  }

  free(): void {
    for (const id of this.#made) this.#binding.deleteTensor(id);
    this.#made.clear();
  }

  /** The tensor outlives this call; who keeps it deletes it. */
  keep(id: TensorId): TensorId {
    this.#made.delete(id);
    return id;
  }

  f32(shape: readonly number[], values: Float32Array): TensorId {
    return this.#create(shape, TYPE.F32, values);
  }

  /** By its bits, because the binding takes no f64; denormal numbers pass unharmed. */
  f64(shape: readonly number[], values: Float64Array): TensorId {
    const words = new Int32Array(values.buffer, values.byteOffset, values.length * 2);
    return this.bitcast(this.#create(shape, TYPE.I64, words), TYPE.I64, TYPE.F64);
  }

  /** f32 values as f64, widened here: TensorFlow's own cast takes denormal numbers for zero. */
  widened(shape: readonly number[], values: Float32Array): TensorId {
    return this.f64(shape, new Float64Array(values));
  }

  bytes(shape: readonly number[], values: Uint8Array): TensorId {
    return this.#create(shape, TYPE.U8, values);
  }

  i32(shape: readonly number[], values: readonly number[] | Int32Array): TensorId {
    return this.#create(shape, TYPE.I32, values instanceof Int32Array ? values : Int32Array.from(values));
  }

  /** Whole numbers below 2^32 as i64: with these, tables may have more than 2^31 elements. */
  indices(values: Uint32Array): TensorId {
    const words = new Int32Array(values.length * 2);
    for (let i = 0; i < values.length; i++) words[2 * i] = values[i];
    return this.#create([values.length], TYPE.I64, words);
  }

  run(name: string, attributes: readonly OpAttribute[], inputs: readonly TensorId[]): TensorId {
    return present(this.runMany(name, attributes, inputs, 1)[0], 'the operation has a result');
  }

  runMany(
    name: string,
    attributes: readonly OpAttribute[],
    inputs: readonly TensorId[],
    outputCount: number,
  ): TensorId[] {
    return this.#binding.executeOp(name, attributes, inputs, outputCount).map(({ id }) => {
      this.#made.add(id);
      return id;
    });
  }

  bitcast(x: TensorId, from: Type, to: Type): TensorId {
    return this.run('Bitcast', [typeOf('T', from), typeOf('type', to)], [x]);
  }

  cast(x: TensorId, from: Type, to: Type): TensorId {
    return this.run('Cast', [typeOf('SrcT', from), typeOf('DstT', to), boolOf('Truncate', false)], [x]);
  }

  reshape(x: TensorId, type: Type, shape: readonly number[]): TensorId {
    return this.run(
      'Reshape',
      [typeOf('T', type), typeOf('Tshape', TYPE.I32)],
      [x, this.i32([shape.length], shape)],
    );
  }

  transpose(x: TensorId, type: Type, axes: readonly number[]): TensorId {
    return this.run(
      'Transpose',
      [typeOf('T', type), typeOf('Tperm', TYPE.I32)],
      [x, this.i32([axes.length], axes)],
    );
  }

  /** `[.., m, n] x [.., n, p]`; `transposed`: the second is `[.., p, n]`. */
  matmul(type: Type, a: TensorId, b: TensorId, transposed: boolean): TensorId {
    return this.run(
      'BatchMatMulV2',
      [typeOf('T', type), boolOf('adj_x', false), boolOf('adj_y', transposed)],
      [a, b],
    );
  }

  add(a: TensorId, b: TensorId): TensorId {
    return this.run('AddV2', [typeOf('T', TYPE.F64)], [a, b]);
  }

  multiply(a: TensorId, b: TensorId): TensorId {
    return this.run('Mul', [typeOf('T', TYPE.F64)], [a, b]);
  }

  /** Rows of `x` along `axis`, the axes before it shared with the indices. */
  gather(x: TensorId, type: Type, indices: TensorId, indexType: Type, axis: number): TensorId {
    return this.run(
      'GatherV2',
      [
        typeOf('Tparams', type),
        typeOf('Tindices', indexType),
        typeOf('Taxis', TYPE.I32),
        intOf('batch_dims', axis),
      ],
      [x, indices, this.i32([], [axis])],
    );
  }

  /** The greatest `count` along the last axis, best first, and their places. */
  topK(x: TensorId, type: Type, count: number): [values: TensorId, places: TensorId] {
    const inputs = [x, this.i32([], [count])];
    const [values, places] = this.runMany('TopKV2', [typeOf('T', type), boolOf('sorted', true)], inputs, 2);
    return [values, places];
  }

  /** The parts along an axis of f64. */
  unpack(x: TensorId, count: number, axis: number): TensorId[] {
    return this.runMany(
      'Unpack',
      [typeOf('T', TYPE.F64), intOf('num', count), intOf('axis', axis)],
      [x],
      count,
    );
  }

  slice(x: TensorId, type: Type, begin: readonly number[], size: readonly number[]): TensorId {
    const edges = [this.i32([begin.length], begin), this.i32([size.length], size)];
    return this.run('Slice', [typeOf('T', type), typeOf('Index', TYPE.I32)], [x, ...edges]);
  }

  /**
   * Whether all f64 `sums [a, b, c, d]` of a pair (a, b) are rounded to the same f32 wherever they lie within its bound, and
   * are normal numbers there, which TensorFlow does not take for zero: `[a, b]`.
   *
   * @param shape of the bounds, `[a, b, 1, 1]`
   */
  allSettled(sums: TensorId, shape: readonly number[], bounds: Float64Array): TensorId {
    const moved = (sign: number) =>
      this.cast(
        this.add(
          sums,
          this.f64(
            shape,
            bounds.map((bound) => sign * bound),
          ),
        ),
        TYPE.F64,
        TYPE.F32,
      );
    const same = this.run(
      'Equal',
      [typeOf('T', TYPE.F32), boolOf('incompatible_shape_error', true)],
      [moved(-1), moved(1)],
    );
    const size = this.run('Abs', [typeOf('T', TYPE.F64)], [sums]);
    const normal = this.run(
      'Greater',
      [typeOf('T', TYPE.F64)],
      [size, this.f64([], Float64Array.of(2 ** -125))],
    );
    const both = this.run('LogicalAnd', [], [same, normal]);
    return this.run(
      'All',
      [boolOf('keep_dims', false), typeOf('Tidx', TYPE.I32)],
      [both, this.i32([2], [2, 3])],
    );
  }

  /** Columns of `x [rows, columns]`. */
  gatherColumns(x: TensorId, type: Type, columns: TensorId): TensorId {
    return this.run(
      'GatherV2',
      [
        typeOf('Tparams', type),
        typeOf('Tindices', TYPE.I64),
        typeOf('Taxis', TYPE.I32),
        intOf('batch_dims', 0),
      ],
      [x, columns, this.i32([], [1])],
    );
  }

  readBool(id: TensorId): Uint8Array {
    const values = this.#binding.tensorDataSync(id);
    assert(values instanceof Uint8Array, 'a tensor of bools is read as bytes');
    return values;
  }

  readF32(id: TensorId): Float32Array {
    const values = this.#binding.tensorDataSync(id);
    assert(values instanceof Float32Array, 'an f32 tensor is read as f32');
    return values;
  }

  readI32(id: TensorId): Int32Array {
    const values = this.#binding.tensorDataSync(id);
    assert(values instanceof Int32Array, 'an i32 tensor is read as i32');
    return values;
  }

  readF64(id: TensorId): Float64Array {
    const words = this.#binding.tensorDataSync(this.bitcast(id, TYPE.F64, TYPE.I64));
    assert(words instanceof BigInt64Array, 'an i64 tensor is read as i64');
    return new Float64Array(words.buffer, words.byteOffset, words.length);
  }

  #create(shape: readonly number[], type: Type, values: Float32Array | Int32Array | Uint8Array): TensorId {
    const id = this.#binding.createTensor(shape, type, values);
    this.#made.add(id);
    return id;
  }
}
