import { parseSafetensorsHeader, toFloat32 } from '@ultramem/checkpoint';
import { assert, OperatingError } from '@ultramem/invariant';

/** A small safetensors file held in memory: recorded inputs and answers of the reference. */
export interface VectorFile {
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensorNames: readonly string[];
  has(tensor: string): boolean;
  shape(tensor: string): readonly number[];
  floats(tensor: string): Float32Array;
  /** An int64 tensor of numbers below 2^53. */
  integers(tensor: string): Float64Array;
  /** Dtype, shape and stored bytes, to be written elsewhere. */
  raw(tensor: string): RawTensor;
}

export interface RawTensor {
  dtype: 'F32' | 'I64';
  shape: readonly number[];
  bytes: Uint8Array;
}

/** @throws OperatingError CHECKPOINT_INVALID for a file that is no safetensors, VECTORS_INVALID
 * when a tensor that is asked for is missing or of another dtype. */
export function readVectorFile(bytes: Uint8Array, name: string): VectorFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerBytes = bytes.byteLength < 8 ? 0 : Number(view.getBigUint64(0, true));
  if (headerBytes === 0 || headerBytes > bytes.byteLength - 8)
    throw invalid(`${name} is no safetensors file`, 'a header length and a header', 'copy it again');
  const header = parseSafetensorsHeader(name, bytes.slice(8, 8 + headerBytes), bytes.byteLength);
  const entries = new Map(header.tensors.map((entry) => [entry.name, entry]));
  const raw = (tensor: string): RawTensor => {
    const entry = entries.get(tensor);
    if (entry === undefined)
      throw invalid(`${name} has no tensor ${tensor}`, 'a complete vector file', 'copy it again');
    const { dtype, shape, begin, end } = entry;
    if (dtype !== 'F32' && dtype !== 'I64')
      throw invalid(`${name}: tensor ${tensor} is ${dtype}`, 'F32 or I64', 'take the recorded files');
    return { dtype, shape, bytes: bytes.slice(header.dataOffset + begin, header.dataOffset + end) };
  };
  const floats = (tensor: string): Float32Array => {
    const { dtype, bytes: data } = raw(tensor);
    assert(dtype === 'F32', 'recorded floats are f32');
    return toFloat32('F32', data);
  };
  const integers = (tensor: string): Float64Array => {
    const { dtype, bytes: data } = raw(tensor);
    assert(dtype === 'I64', 'recorded indices are int64');
    return Float64Array.from(new BigInt64Array(data.buffer, data.byteOffset, data.byteLength / 8), Number);
  };
  return {
    name,
    metadata: header.metadata,
    tensorNames: [...entries.keys()],
    has: (tensor) => entries.has(tensor),
    shape: (tensor) => raw(tensor).shape,
    floats,
    integers,
    raw,
  };
}

function invalid(wrong: string, expected: string, remedy: string): OperatingError {
  return new OperatingError('VECTORS_INVALID', `${wrong}; expected ${expected}; ${remedy}`);
}
