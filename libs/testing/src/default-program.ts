import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { nodeProgram, type Program } from '@ultramem/local-cluster';

/** The command line of the package `ultramem` that is installed beside this one, run by the Node that runs this. */
export function defaultProgram(): Program {
  const manifest = createRequire(import.meta.url).resolve('ultramem/package.json');
  return nodeProgram(join(dirname(manifest), 'bin/ultramem.js'));
}
