export type { Clock } from './clock.ts';
export type { LoopDelay } from './loop-delay.ts';
export { ManualClock } from './manual-clock.ts';
export { createRandom, type Random } from './random.ts';
