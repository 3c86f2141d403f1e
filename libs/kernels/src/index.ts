export { silu } from './activation.ts';
export { activationsFor, withBf16Activations } from './activation-dtype.ts';
export { attendAlone, attendEach, type SequenceAttention } from './attend-each.ts';
export { assertAttend, assertFeedForward, assertProduct, assertRotation } from './check-dense.ts';
export {
  assertCores,
  assertDots,
  assertGrid,
  assertPool,
  assertScores,
  emptySelection,
  localRows,
  refuseBlock,
  tokenOfEntry,
} from './check-requests.ts';
export { coreEdges } from './core-edges.ts';
export type { Activation, ActivationDType, AttendRequest, FeedForward, Linear, RopeTable } from './dense.ts';
export { erf, gateWeights, gelu } from './gate-weights.ts';
export { feedForwardInSteps, selectInSteps } from './in-steps.ts';
export type { Kernels, KeyTable, Matrix, Norm, ValueTable } from './kernels.ts';
export { loadCollapse, loadMemoryTables, type MemoryPart, type MemoryTables } from './memory-tables.ts';
export { memoryTensor } from './memory-tensor.ts';
export { type PackedEncoding, packedBytes } from './packed-vectors.ts';
export { assertPartials, type PooledPart, type PooledSize } from './pooled-part.ts';
export type { DotRequest, PoolRequest } from './pooling.ts';
export { softmax } from './reference/attend.ts';
export { loadKeys as loadReferenceKeys, ReferenceKeys, readNormalisedKeys } from './reference/load-keys.ts';
export { dot } from './reference/multiply-rows.ts';
export { createReferenceKernels } from './reference/reference-kernels.ts';
export type {
  Addressing,
  AddressRequest,
  GridRequest,
  ScoreRequest,
  SelectedSlots,
  SelectRequest,
} from './selection.ts';
