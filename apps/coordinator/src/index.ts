export { coordinatorCommand, DEFAULT_PORT } from './command.ts';
