export type { JoinState } from './join.ts';
export type { ShardSlice } from './resident-shard.ts';
export { startWorker } from './worker.ts';
export type { Worker, WorkerEvent, WorkerOptions, WorkerStatus } from './worker-options.ts';
