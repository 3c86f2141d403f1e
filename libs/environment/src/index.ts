export type { Clock } from './clock.ts';
export { ManualClock } from './manual-clock.ts';
export { createRandom, type Random } from './random.ts';
