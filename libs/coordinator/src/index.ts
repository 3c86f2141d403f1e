export type { ClusterEvent } from './cluster.ts';
export {
  type Coordinator,
  type CoordinatorEvent,
  type CoordinatorOptions,
  startCoordinator,
} from './coordinator.ts';
export type { ClusterStatus } from './describe-cluster.ts';
export type { Explanation } from './explain-lookup.ts';
export { planTerms } from './plan-terms.ts';
