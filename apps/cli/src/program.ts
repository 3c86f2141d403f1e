import { fileURLToPath } from 'node:url';
import type { Program } from '@ultramem/local-cluster';

/** This command line, as other processes start it: with the Node that runs here, and with the flag that the file gives itself. */
export const PROGRAM: Program = {
  command: process.execPath,
  args: ['--initial-old-space-size=256', fileURLToPath(new URL('../bin/ultramem.js', import.meta.url))],
};

export const SOFTWARE = 'ultramem/0.1.0';

/** The model that is shipped with the command line. */
export const DEMO_MODEL = fileURLToPath(new URL('../demo-model', import.meta.url));
