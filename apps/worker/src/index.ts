export { workerCommand } from './command.ts';
