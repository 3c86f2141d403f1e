import type { BenchContext } from './bench-context.ts';

/** One subject of docs/performance.md, measured in one file. */
export interface BenchCase {
  name: string;
  /** One line of help. */
  about: string;
  run(context: BenchContext): Promise<void>;
}
