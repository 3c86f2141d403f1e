import { startChild } from '@ultramem/local-cluster';
import { afterAll, expect, it } from 'vitest';
import { layLink } from '../network/slow-link.ts';
import { processesOfSpec } from './processes.ts';
import { connect, MODEL, PROGRAM } from './programs.ts';

const TOKEN = 'open sesame';
/** 25 MB a second. */
const RATE = '200mbit';
const link = layLink(RATE);
const { start, tokenFile, end } = processesOfSpec();

afterAll(async () => {
  await end();
  if (!('why' in link)) link.drop();
});

it.skipIf('why' in link)(
  `rounds what comes over a link of ${RATE}, and nothing that comes over loopback${'why' in link ? ` (${link.why})` : ''}`,
  async () => {
    if ('why' in link) return;
    const token = ['--token-file', tokenFile(TOKEN)];
    const listen = ['--workers', '2', '--port', '0', '--partition', 'columns'];
    const model = ['--model', MODEL, '--backend', 'reference'];
    const coordinator = start('coordinator', [
      ...['coordinator', ...model, ...listen, ...token, '--slow-links', 'bf16'],
      ...['--host', '0.0.0.0'],
    ]);
    const port = new URL((await coordinator.message('listening')).url).port;
    const worker = (id: string, host: string) => [
      ...['worker', ...model, ...token, '--id', id, '--coordinator', `ws://${host}:${port}`],
    ];
    start('near', worker('near', '127.0.0.1'));
    const far = startChild(link.beyond(PROGRAM), 'far', worker('far', link.host));
    await coordinator.message('ready');
    const client = await connect(`ws://127.0.0.1:${port}`, TOKEN);
    const { sequences } = await client.generate({ prompts: ['First Citizen:'], maxTokens: 8 });
    expect(sequences[0]?.tokenIds).toHaveLength(8);
    const { workers } = await client.status();
    client.close();
    const of = (id: string) => workers.find(({ workerId }) => workerId === id);
    expect(of('near')).toMatchObject({ linkBytesPerSecond: null, pooledAs: 'f32' });
    expect(of('far')?.pooledAs).toBe('bf16');
    expect(of('far')?.linkBytesPerSecond).toBeGreaterThan(5e6);
    expect(of('far')?.linkBytesPerSecond).toBeLessThan(50e6);
    await far.stop();
  },
  60_000,
);
