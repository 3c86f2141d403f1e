export { createHttpFiles, type HttpFilesOptions, type HttpHandler } from './http-files.ts';
