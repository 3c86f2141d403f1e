export type { SequenceStep } from './batch.ts';
export { checkActivations } from './check-activations.ts';
export { type EvaluateOptions, type Evaluation, evaluate, WINDOWS_PER_PASS } from './evaluate.ts';
export { type ExplainedLookup, explainLookup } from './explain-lookup.ts';
export { type ForwardResult, type ForwardStep, forward, type Model } from './forward.ts';
export {
  type FinishReason,
  type GeneratedToken,
  type GenerateOptions,
  type GenerateSummary,
  generate,
} from './generate.ts';
export { createKvCache, type KvCache } from './kv-cache.ts';
export { type LayerVector, type LayerVectorCheckpoint, layerVectorCheckpoint } from './layer-vector.ts';
export { loadMemoryLayers, type MemoryLayer, type SelectionWeights } from './load-memory-layers.ts';
export { type DenseModel, loadDense } from './load-model.ts';
export { createLocalLookup } from './local-lookup.ts';
export { beginLookup, finishLookup } from './memory-layer.ts';
export type { LookupAnswer, LookupRequest, MemoryLookup } from './memory-lookup.ts';
export { hiddenFraction, type LookupTiming } from './pending-lookups.ts';
export { greedyToken, parseSampling, type Sampling, sampleToken } from './sample.ts';
export { evenEntryStart, groupOfHead, selectByKeys, selectSlots } from './select-slots.ts';
export { readVectorFile, type VectorFile } from './vector-file.ts';
export { type LayerCheck, verifyLayers } from './verify-layers.ts';
export { type ModelCheck, verifyModel } from './verify-model.ts';
