export { silu } from './activation.ts';
export { erf, gateWeights, gelu } from './gate-weights.ts';
export type {
  Activation,
  AttendRequest,
  DotRequest,
  EntryList,
  GridRequest,
  Kernels,
  KeyTable,
  Matrix,
  Norm,
  PoolRequest,
  ScoreRequest,
  SelectRequest,
  ValueTable,
} from './kernels.ts';
export { loadCollapse, loadMemoryTables, type MemoryPart, type MemoryTables } from './memory-tables.ts';
export { memoryTensor } from './memory-tensor.ts';
export { createReferenceKernels } from './reference/reference-kernels.ts';
