export { fileDirectory } from './file-directory.ts';
export type { WriteProgress } from './file-sink.ts';
export { writeCheckpoint } from './write-checkpoint.ts';
