// How the drivers of this folder are compiled: all with the same flags, so that they share objects.
import { fileURLToPath } from 'node:url';
import { nativeRoot } from '../build.mjs';

export const buildRoot = fileURLToPath(new URL('../../build/test', import.meta.url));
export const objectRoot = fileURLToPath(new URL('../../build/test/objects', import.meta.url));
export const MEMORY = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
export const RACE = ['-fsanitize=thread'];
export const NO_COMPILER =
  'there is no C++ compiler; expected one of CXX or the PATH; install g++ or clang++';

export function flagsWith(sanitizers) {
  return ['-O1', '-g1', '-fPIC', `-I${nativeRoot}`, ...sanitizers];
}

export function fail(message) {
  console.error(message);
  process.exit(1);
}
