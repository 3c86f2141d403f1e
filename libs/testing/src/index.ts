export { type ClusterOptions, startCluster } from './start-cluster.ts';
export type { TestCluster, TestWorker } from './test-cluster.ts';
