export {
  type ChildProgram,
  nodeProgram,
  type Program,
  type ProgramMessage,
  startChild,
} from './child-program.ts';
export {
  type LocalCluster,
  type LocalClusterOptions,
  startLocalCluster,
  startLocalWorker,
} from './local-cluster.ts';
