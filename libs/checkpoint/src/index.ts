export type { ByteSink } from './byte-sink.ts';
export type { ByteSource, CheckpointDirectory } from './byte-source.ts';
export { type Conversion, convertedConfig, convertTables } from './convert-tables.ts';
export {
  bf16ToF32,
  FLOAT_DTYPES,
  type FloatDType,
  f16ToF32,
  f32ToBf16,
  f32ToF16,
  fromFloat32,
  toFloat32,
} from './dtype.ts';
export { type ExpectedTensor, expectedTensors } from './expected-tensors.ts';
export { dequantizeRow, floatSource, quantizeRows } from './int8-rows.ts';
export { memoryDirectory } from './memory-directory.ts';
export { type Checkpoint, openCheckpoint } from './open-checkpoint.ts';
export { type ReadProgress, readFloats, readKeyRows, readRectangle, readShuffle } from './read-tensor.ts';
export {
  parseSafetensorsHeader,
  readSafetensorsHeader,
  type SafetensorsHeader,
  type TensorEntry,
} from './safetensors-header.ts';
export { type SynthOptions, synthByteCount, synthCheckpoint } from './synth.ts';
export { type MemoryPart, memoryTensorName, preValueTableName, valueTableName } from './tensor-names.ts';
export {
  DTYPE_BYTES,
  type DType,
  type FilePlace,
  rowByteCount,
  type TensorSource,
  tensorByteCount,
} from './tensor-source.ts';
export { tuckerVectors } from './tucker-vectors.ts';
export { type SafetensorsLayout, safetensorsHeader, type TensorDescription } from './write-safetensors.ts';
