import { ManualClock } from '@ultramem/environment';
import type { ShardSlice } from '@ultramem/planner';
import { createMemoryTransport, openChannel } from '@ultramem/transport';
import { LatencyWindow } from '../src/latency-window.ts';
import type { ShardLink } from '../src/shard-link.ts';

/** A link to nobody in particular, over a real channel. */
export async function openLink(slice: ShardSlice, workerId: string): Promise<ShardLink> {
  const transport = createMemoryTransport();
  const { url } = await transport.listen({ host: '', port: 0, onConnection: () => {} });
  const channel = openChannel({
    connection: await transport.connect(url, { timeoutMs: 1 }),
    clock: new ManualClock(),
    accepts: new Set(),
    serve: () => Promise.reject(new Error('nobody asks')),
    onNotice: () => {},
    onClose: () => {},
    onDefect: (error) => {
      throw error;
    },
  });
  return { slice, workerId, epoch: 1, channel, latency: new LatencyWindow(), pooledAs: 'f32' };
}
