export { type HttpDirectoryOptions, httpDirectory } from './http-directory.ts';
