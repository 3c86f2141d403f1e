import { fileURLToPath } from 'node:url';
import { type Client, connectClient } from '@ultramem/client';
import { systemClock } from '@ultramem/environment-system';
import { OperatingError } from '@ultramem/invariant';
import { startCluster, type TestCluster } from '@ultramem/testing';
import { createWsTransport } from '@ultramem/transport-ws';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually, processesOfSpec } from './processes.ts';

const MODEL = fileURLToPath(new URL('../../apps/cli/demo-model', import.meta.url));
const OTHER_MODEL = fileURLToPath(new URL('../vectors/model_v1', import.meta.url));
const PROMPT = 'ROMEO:\n';
const LOOKUP_TIMEOUT_MS = 1_000;
/** What a loaded machine may add to a deadline. */
const SLACK_MS = 5_000;

const processes = processesOfSpec();
afterEach(() => processes.end());

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof OperatingError) return error.code;
    throw error;
  }
  return 'it succeeded';
}

async function answer(client: Pick<TestCluster, 'generate'>): Promise<readonly number[] | undefined> {
  const { sequences } = await client.generate({ prompts: [PROMPT], maxTokens: 8 });
  return sequences[0]?.tokenIds;
}

function connect(url: string): Promise<Client> {
  const transport = createWsTransport();
  return connectClient({
    transport,
    clock: systemClock,
    url,
    token: null,
    software: 'spec',
    connectTimeoutMs: 5_000,
  });
}

describe('a worker that is frozen', () => {
  it('lets lookups fail at their deadline, is given up, and joins again', async () => {
    await using cluster = await startCluster({ model: MODEL, lookupTimeoutMs: LOOKUP_TIMEOUT_MS });
    const before = await answer(cluster);
    const frozen = cluster.workers[0];
    await frozen?.pause();
    const startMs = performance.now();
    expect(await codeOf(answer(cluster))).toBe('DEADLINE_EXCEEDED');
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(LOOKUP_TIMEOUT_MS - 1);
    expect(performance.now() - startMs).toBeLessThan(LOOKUP_TIMEOUT_MS + SLACK_MS);
    // Once its lease has ended nobody waits for it any more.
    const refused = () => codeOf(answer(cluster));
    await eventually(refused, (code) => code === 'SHARD_UNAVAILABLE', 30_000);
    await frozen?.resume();
    await eventually(cluster.status, ({ cluster: facts }) => facts.state === 'ready', 30_000);
    expect(await answer(cluster)).toEqual(before);
  }, 90_000);

  it('goes on where it was when it was frozen for a moment only', async () => {
    await using cluster = await startCluster({ model: MODEL });
    const before = await answer(cluster);
    const { epoch } = (await cluster.status()).cluster;
    await cluster.workers[1]?.pause();
    const waiting = answer(cluster);
    await cluster.workers[1]?.resume();
    expect(await waiting).toEqual(before);
    expect((await cluster.status()).cluster.epoch).toBe(epoch);
  }, 60_000);
});

describe('a coordinator that dies', () => {
  it('ends its clients, and its workers join the next one on the same port', async () => {
    const args = ['--model', MODEL, '--workers', '2', '--lookup-timeout', '2'];
    const first = processes.start('coordinator', ['coordinator', ...args, '--port', '0']);
    const { url } = await first.message('listening');
    for (const id of ['a', 'b'])
      processes.start(id, ['worker', '--coordinator', url, '--model', MODEL, '--id', id]);
    await first.message('ready');
    const client = await connect(url);
    const before = await answer(client);
    const waiting = codeOf(client.generate({ prompts: [PROMPT], maxTokens: 200 }));
    first.signal('SIGKILL');
    expect(await waiting).toBe('CONNECTION_LOST');
    expect(await codeOf(client.status())).toBe('CONNECTION_LOST');
    await first.exited;

    const second = processes.start('coordinator', ['coordinator', ...args, '--port', new URL(url).port]);
    await second.message('ready');
    expect(await answer(await connect(url))).toEqual(before);
    const { workers: seen } = await (await connect(url)).status();
    expect(seen.map(({ workerId }) => workerId).sort()).toEqual(['a', 'b']);
  }, 60_000);

  it('fails what a test cluster is asked afterwards', async () => {
    await using cluster = await startCluster({ model: MODEL });
    process.kill(cluster.coordinatorPid ?? 0, 'SIGKILL');
    expect(await cluster.client.closed).not.toBe('');
    expect(await codeOf(answer(cluster))).toBe('CONNECTION_LOST');
    expect(await codeOf(cluster.connect())).toBe('CONNECT_FAILED');
  }, 60_000);
});

describe.each([
  { where: 'as processes', inProcess: false },
  { where: 'within one process', inProcess: true },
])('at the door of a cluster $where', ({ inProcess }) => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster({ model: MODEL, workers: 1, token: 'open sesame', inProcess });
  }, 60_000);
  afterAll(() => cluster?.stop());

  it('the right token opens, another or none does not', async () => {
    expect(await codeOf(cluster.connect({ token: 'open barley' }))).toBe('UNAUTHORIZED');
    expect(await codeOf(cluster.connect({ token: null }))).toBe('UNAUTHORIZED');
    expect((await (await cluster.connect()).status()).cluster.state).toBe('ready');
  });

  it('the token is still known to a worker that starts later', async () => {
    await cluster.workers[0]?.restart();
    expect((await cluster.status()).cluster.state).toBe('ready');
  }, 60_000);
});

describe('processes that come to a cluster', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster({ model: MODEL, workers: 1, token: 'open sesame' });
  }, 60_000);
  afterAll(() => cluster?.stop());

  it('are turned away with the reason', async () => {
    const tokenFile = processes.tokenFile('open sesame');
    const refusal = async (...args: string[]) => {
      const worker = processes.start('late', ['worker', '--coordinator', cluster.url, ...args]);
      const { code, error } = await worker.exited;
      expect(code).toBe(1);
      return error?.code;
    };
    expect(await refusal('--model', MODEL, '--id', 'x')).toBe('UNAUTHORIZED');
    const wrong = processes.tokenFile('open barley');
    expect(await refusal('--model', MODEL, '--id', 'x', '--token-file', wrong)).toBe('UNAUTHORIZED');
    const other = ['--model', OTHER_MODEL, '--id', 'x', '--token-file', tokenFile];
    expect(await refusal(...other)).toBe('CHECKPOINT_MISMATCH');
    const twin = ['--model', MODEL, '--id', 'worker-0', '--token-file', tokenFile];
    expect(await refusal(...twin)).toBe('DUPLICATE_WORKER');
    expect(await answer(cluster)).toHaveLength(8);
  }, 60_000);

  it('find the port taken when they are coordinators', async () => {
    const { port } = new URL(cluster.url);
    const second = processes.start('second', [
      'coordinator',
      '--model',
      MODEL,
      '--workers',
      '1',
      '--port',
      port,
    ]);
    expect(await codeOf(second.message('listening'))).toBe('PORT_IN_USE');
  }, 60_000);
});

describe.each([{ inProcess: false }, { inProcess: true }])(
  'what cannot start, inProcess $inProcess',
  (mode) => {
    it.each([
      ['PLAN_IMPOSSIBLE', { model: MODEL, memoryBytes: [1_000, 1_000] }],
      ['PLAN_IMPOSSIBLE', { model: MODEL, partition: 'grid:2x2' }],
      ['CHECKPOINT_NOT_FOUND', { model: `${MODEL}-of-nobody` }],
      ['USAGE', { model: MODEL, partition: 'diagonal' }],
      ['USAGE', { model: MODEL, keys: 'nobody' }],
      ['USAGE', { model: MODEL, backend: 'abacus' }],
    ])(
      '%s: %o',
      async (code, options) => {
        expect(await codeOf(startCluster({ ...options, ...mode }))).toBe(code);
      },
      60_000,
    );
  },
);
