import { totalmem } from 'node:os';

/** Bytes of memory that this process may have: the machine's, or those of the container or control group that it is in. */
export function memoryLimitBytes(): number {
  const constrained = process.constrainedMemory(); // 0, or more than there is, where nothing constrains
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}
