export type { ClusterEvent } from './cluster.ts';
export { type Coordinator, startCoordinator } from './coordinator.ts';
export type { CoordinatorEvent, CoordinatorOptions } from './coordinator-options.ts';
export type { ClusterStatus } from './describe-cluster.ts';
export type { Explanation } from './describe-lookup.ts';
export { parseSlowLinks, type SlowLinks } from './link-speed.ts';
export { planTerms } from './plan-terms.ts';
