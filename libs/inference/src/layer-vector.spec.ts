import { safetensorsHeader } from '@ultramem/checkpoint';
import { describe, expect, it } from 'vitest';
import { layerVectorCheckpoint } from './layer-vector.ts';
import { readVectorFile } from './vector-file.ts';

/** One tensor `x` of two elements. */
function file(dtype: 'F32' | 'F16', metadata?: Record<string, string>): Uint8Array {
  const { header, fileByteCount } = safetensorsHeader([{ name: 'x', dtype, shape: [2] }], metadata);
  const bytes = new Uint8Array(fileByteCount);
  bytes.set(header);
  if (dtype === 'F32') bytes.set(new Uint8Array(Float32Array.of(1.5, -2).buffer), header.byteLength);
  return bytes;
}

describe('readVectorFile', () => {
  it('reads tensors wherever the bytes start', () => {
    const bytes = file('F32');
    const shifted = new Uint8Array(bytes.byteLength + 3);
    shifted.set(bytes, 3);
    const read = readVectorFile(shifted.subarray(3), 'x.safetensors');
    expect(read.floats('x')).toEqual(Float32Array.of(1.5, -2));
    expect(read.shape('x')).toEqual([2]);
  });

  it.each([
    [
      'no header',
      new Uint8Array(3),
      'x is no safetensors file; expected a header length and a header; copy it again',
    ],
    [
      'a tensor that is not there',
      file('F32'),
      'x has no tensor y; expected a complete vector file; copy it again',
    ],
    ['another dtype', file('F16'), 'x: tensor x is F16; expected F32 or I64; take the recorded files'],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => {
      const read = readVectorFile(bytes, 'x');
      read.floats('x');
      read.floats('y');
    }).toThrow(expect.objectContaining({ code: 'VECTORS_INVALID', message }));
  });
});

it('layerVectorCheckpoint refuses files that record no layer', () => {
  expect(() =>
    layerVectorCheckpoint(file('F32', { kind: 'ultramem_v1_grads', of: 'v1_b' }), 'v1_b_grads'),
  ).toThrow(
    expect.objectContaining({
      code: 'VECTORS_INVALID',
      message: expect.stringContaining('v1_b_grads names no model_config;'),
    }),
  );
});
