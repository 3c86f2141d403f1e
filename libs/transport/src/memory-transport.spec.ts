import { describe, it } from 'vitest';
import { transportCases } from './conformance.ts';
import { createMemoryTransport } from './memory-transport.ts';

describe('memory transport', () => {
  for (const { name, run } of transportCases) it(name, () => run(createMemoryTransport()));
});
