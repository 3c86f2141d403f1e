import { fileURLToPath } from 'node:url';
import { nodeProgram, type Program } from '@ultramem/local-cluster';

/** This command line, as other processes start it. */
export const PROGRAM: Program = nodeProgram(fileURLToPath(new URL('../bin/ultramem.js', import.meta.url)));

export const SOFTWARE = 'ultramem/0.1.0';

/** The model that is shipped with the command line. */
export const DEMO_MODEL = fileURLToPath(new URL('../demo-model', import.meta.url));
