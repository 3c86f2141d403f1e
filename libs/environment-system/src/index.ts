export { watchEventLoop } from './loop-delay.ts';
export { memoryLimitBytes } from './memory-limit.ts';
export { randomHex, randomSeed } from './random-seed.ts';
export { systemClock } from './system-clock.ts';
