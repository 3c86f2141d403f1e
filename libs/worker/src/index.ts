export type { JoinState } from './join.ts';
export { startWorker, type Worker, type WorkerEvent, type WorkerOptions } from './worker.ts';
