export { log } from './log.ts';
export { checkExposure, number, readToken, wholeNumber } from './parse-options.ts';
export { endWithParent, onStopSignal, tellParent } from './program-channel.ts';
export { type Progress, startProgress } from './progress.ts';
export {
  EXIT_FAILURE,
  EXIT_USAGE,
  endWithReader,
  reportFailure,
  runProgram,
  stopOnDefect,
} from './run-program.ts';
