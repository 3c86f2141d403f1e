export { type Candidates, type CollapseVectors, type Selection, SIDES } from './candidates.ts';
export { type Insertion, parseInsertions, writesByBlock } from './insertion.ts';
export { int8RowBytes, SCALE_BLOCK, SCALE_BYTES, scaleCount } from './int8-block.ts';
export {
  type MemoryGeometry,
  memoryGeometry,
  queryGroupOfHead,
  V1_CONSTANTS,
  type V1Constants,
  virtualValueCount,
  winnersPerToken,
} from './memory-geometry.ts';
export { collapseScore, mergeCandidates } from './merge-candidates.ts';
export { type MemoryFamily, type ModelConfig, parseModelConfig } from './model-config.ts';
export { type Range, rangeLength } from './range.ts';
export { emptyShuffle, ShuffleReader } from './shuffle-reader.ts';
export { comesBefore, topK } from './top-k.ts';
export { addressValues, type ShuffleIndex, type ValueAddresses, type ValueWindows } from './value-index.ts';
