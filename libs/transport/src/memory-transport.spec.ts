import { describe, expect, it } from 'vitest';
import { transportCases } from './conformance.ts';
import { createMemoryTransport } from './memory-transport.ts';

describe('memory transport', () => {
  for (const { name, run } of transportCases) it(name, () => run(createMemoryTransport()));
});

it('copies what is sent', async () => {
  const transport = createMemoryTransport();
  const arrived: Uint8Array[] = [];
  const { url } = await transport.listen({
    host: '',
    port: 0,
    onConnection: (connection) => {
      connection.onMessage = (message) => arrived.push(message);
    },
  });
  const connection = await transport.connect(url, { timeoutMs: 1 });
  const bytes = Uint8Array.of(1, 2, 3);
  connection.send([bytes]);
  expect(connection.bufferedBytes).toBe(3);
  bytes.fill(0);
  await Promise.resolve();
  expect(arrived).toEqual([Uint8Array.of(1, 2, 3)]);
  expect(connection.bufferedBytes).toBe(0);
});
