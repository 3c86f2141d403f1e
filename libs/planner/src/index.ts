export {
  ESTIMATED_BATCHES,
  type Estimate,
  type Fitting,
  type PlanRequest,
  type Refusal,
  type Refused,
} from './candidate.ts';
export { checkPlan } from './check-plan.ts';
export { estimateLookup, type Link, type LookupCase, type LookupEstimate, type Rates } from './estimate.ts';
export { explainPlan, planFacts } from './explain.ts';
export { formatBytes } from './format-bytes.ts';
export { type KeysMode, parseKeysMode } from './keys-mode.ts';
export { coordinatorBytes, type ElementBytes, keyBytes, sliceBytes, type WeightBytes } from './memory.ts';
export { parseBytes } from './parse-bytes.ts';
export { formatPartition, type Partition, parsePartition } from './partition.ts';
export { type Plan, planPartition } from './plan.ts';
export type { ShardSlice } from './shard.ts';
export type { WorkerCapacity } from './slice-tables.ts';
export { splitByWeight } from './split-range.ts';
