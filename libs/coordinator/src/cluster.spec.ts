import type { Checkpoint } from '@ultramem/checkpoint';
import { syntheticCheckpoint, V1_MODEL } from '@ultramem/checkpoint/synthetic';
import { OperatingError } from '@ultramem/invariant';
import { planPartition, sliceBytes } from '@ultramem/planner';
import { createMemoryTransport, type Transport } from '@ultramem/transport';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  dialWorker,
  LEASE,
  type ScriptedPeer,
  settle,
  silence,
  startWorld,
  type World,
} from '../test/scripted-cluster.ts';
import { planTerms } from './plan-terms.ts';

let checkpoint: Checkpoint;
beforeAll(async () => {
  checkpoint = await syntheticCheckpoint(V1_MODEL, { seed: 1, dtype: 'F32' });
});

const start = (workersWanted: number, options: Parameters<typeof startWorld>[1] | object = {}) =>
  startWorld(checkpoint, { workersWanted, ...options });

async function stateOf({ coordinator }: World) {
  return (await coordinator.status()).cluster.state;
}

/** Ends connections many turns after `close`, as sockets do; what arrives meanwhile finds the channel closed. */
function slowToClose(inner: Transport): Transport {
  return {
    connect: inner.connect,
    listen: (options) =>
      inner.listen({
        ...options,
        onConnection: (connection) => {
          const close = connection.close;
          connection.close = (reason) => void settle().then(() => close(reason));
          options.onConnection(connection);
        },
      }),
  };
}

const assignments = ({ requests }: ScriptedPeer) =>
  requests.flatMap((request) => (request.kind === 'assign' ? [request.shard] : []));

describe('joining', () => {
  it('is answered with a welcome; shards are given out when all are there', async () => {
    const world = await start(2);
    const a = await dialWorker(world, { id: 'a' });
    expect(a.notices).toEqual([
      { kind: 'welcome', protocol: 1, software: 'test/1', clusterId: 'test', ...LEASE },
    ]);
    expect(assignments(a)).toEqual([]);
    expect(await stateOf(world)).toBe('waiting');
    const b = await dialWorker(world, { id: 'b' });
    await world.coordinator.whenReady();
    expect([assignments(a), assignments(b)]).toEqual([[0], [1]]);
    expect(world.told('joined', 'planned', 'assigned', 'worker-ready', 'ready')).toEqual([
      'joined a',
      'joined b',
      'planned',
      'assigned a 0',
      'assigned b 1',
      'worker-ready a 0',
      'worker-ready b 1',
      'ready',
    ]);
    expect(await stateOf(world)).toBe('ready');
  });

  it('tells each worker its slice and the epoch of its assignment', async () => {
    const world = await start(2);
    const a = await dialWorker(world, { id: 'a' });
    const b = await dialWorker(world, { id: 'b' });
    expect(a.requests[0]).toMatchObject({
      epoch: 3,
      shard: 0,
      rows: { start: 0, end: 8 },
      columns: { start: 0, end: 8 },
    });
    expect(b.requests[0]).toMatchObject({
      epoch: 4,
      shard: 1,
      rows: { start: 8, end: 16 },
      keys: { start: 4, end: 8 },
    });
  });

  it('is loading while slices are on their way', async () => {
    const world = await start(1);
    await dialWorker(world, { id: 'a', serve: ({ kind }) => (kind === 'assign' ? silence() : null) });
    const { cluster, workers } = await world.coordinator.status();
    expect(cluster).toMatchObject({ state: 'loading', shardCount: 1, partition: 'slots', keys: 'workers' });
    expect(workers).toMatchObject([
      { workerId: 'a', state: 'loading', shard: 0, residentBytes: 7, processBytes: 9 },
    ]);
  });

  it('shows counters of the last pulse, and nulls on standby', async () => {
    const world = await start(1);
    await dialWorker(world, { id: 'a' });
    await dialWorker(world, { id: 'spare' });
    const { cluster, workers } = await world.coordinator.status();
    expect(cluster).toMatchObject({ loopDelayP99Ms: 0.25, loopDelayMaxMs: 3 });
    expect(workers).toMatchObject([
      { workerId: 'a', shard: 0, lookups: 3, rowsRead: 5, p50Ms: null, loopDelayP99Ms: 0.5 },
      { workerId: 'spare', state: 'standby', shard: null, rows: null, columns: null, keys: null },
    ]);
  });
});

describe('a newcomer that does not fit', () => {
  it.each([
    { code: 'UNAUTHORIZED', script: { token: 'wrong' } },
    { code: 'CHECKPOINT_MISMATCH', script: { token: 'right', fingerprint: 'another' } },
    { code: 'PLAN_IMPOSSIBLE', script: { token: 'right', capacityBytes: 0 } },
  ])('hears $code before the connection ends', async ({ code, script }) => {
    const world = await start(1, { token: 'right' });
    const peer = await dialWorker(world, { id: 'a', ...script });
    expect(peer.failure()).toMatchObject({ code });
    expect(peer.closedBecause()).not.toBeNull();
    expect(world.events).toEqual([expect.objectContaining({ kind: 'refused', code })]);
  });

  it('is let go when it says nothing', async () => {
    const world = await start(1);
    const connection = await world.transport.connect(world.coordinator.url, { timeoutMs: 1 });
    let closedBecause = '';
    connection.onMessage = () => {};
    connection.onClose = (reason) => {
      closedBecause = reason;
    };
    await world.clock.advance(9_999);
    expect(closedBecause).toBe('');
    await world.clock.advance(1);
    expect(closedBecause).toBe('DEADLINE_EXCEEDED');
  });

  it('may not say hello twice, nor ask what clients ask', async () => {
    const world = await start(2);
    const [a, b] = [await dialWorker(world, { id: 'a' }), await dialWorker(world, { id: 'b' })];
    a.channel.notify({
      kind: 'hello',
      protocolMin: 1,
      protocolMax: 1,
      software: '',
      role: 'client',
      token: null,
      worker: null,
    });
    await expect(b.channel.request({ kind: 'status' }, { deadlineMs: 10 })).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
    });
    await settle();
    expect([a.failure(), b.failure()]).toMatchObject([
      { code: 'UNEXPECTED_MESSAGE' },
      { code: 'UNEXPECTED_MESSAGE' },
    ]);
    expect(world.told('left')).toEqual(['left a 0', 'left b 1']);
  });
});

describe('a twin', () => {
  it('with another instance is refused, and the first one stays', async () => {
    const world = await start(1);
    const first = await dialWorker(world, { id: 'a', instance: 'one' });
    const second = await dialWorker(world, { id: 'a', instance: 'two' });
    expect(second.failure()).toMatchObject({
      code: 'DUPLICATE_WORKER',
      message: expect.stringContaining('memory-client:1'),
    });
    expect(first.closedBecause()).toBeNull();
    expect(await stateOf(world)).toBe('ready');
  });

  it('of the same instance replaces the old connection and takes its shard again', async () => {
    const world = await start(1);
    const old = await dialWorker(world, { id: 'a' });
    const anew = await dialWorker(world, { id: 'a' });
    expect(old.closedBecause()).toBe('replaced by a new connection of this process');
    expect(assignments(anew)).toEqual([0]);
    expect(await stateOf(world)).toBe('ready');
    expect(world.told('left', 'worker-ready')).toEqual(['worker-ready a 0', 'left a 0', 'worker-ready a 0']);
  });
});

describe('a worker that is lost', () => {
  it('degrades the cluster until it is back on its place', async () => {
    const world = await start(2);
    const a = await dialWorker(world, { id: 'a' });
    await dialWorker(world, { id: 'b' });
    a.channel.close('crashed');
    await settle();
    expect(await stateOf(world)).toBe('degraded');
    expect(world.events.filter(({ kind }) => kind === 'left')).toEqual([
      { kind: 'left', workerId: 'a', shard: 0, reason: 'crashed' },
    ]);
    const back = await dialWorker(world, { id: 'a', instance: 'a-2' });
    expect(assignments(back)).toEqual([0]);
    expect(await stateOf(world)).toBe('ready');
    expect(world.told('ready', 'degraded')).toEqual(['ready', 'degraded', 'ready']);
  });

  it('is followed by one on standby, and then stands by itself', async () => {
    const world = await start(1);
    const a = await dialWorker(world, { id: 'a' });
    const spare = await dialWorker(world, { id: 'spare' });
    expect(assignments(spare)).toEqual([]);
    a.channel.close('crashed');
    await settle();
    expect(assignments(spare)).toEqual([0]);
    expect(await stateOf(world)).toBe('ready');
    const back = await dialWorker(world, { id: 'a', instance: 'a-2' });
    expect(assignments(back)).toEqual([]);
  });

  it('by a goodbye is reported with its reason, also while it loads and the connection takes its time to end', async () => {
    const world = await start(1, { transport: slowToClose(createMemoryTransport()) });
    const a = await dialWorker(world, {
      id: 'a',
      serve: ({ kind }) => (kind === 'assign' ? silence() : null),
    });
    a.channel.notify({ kind: 'leave', reason: 'stopped by SIGTERM' });
    await settle();
    expect(world.events.slice(-1)).toEqual([
      { kind: 'left', workerId: 'a', shard: 0, reason: 'stopped by SIGTERM' },
    ]);
    expect(world.told('refused')).toEqual([]);
  });

  it('by silence, is given up when its lease ends', async () => {
    const world = await start(2);
    let silent = false;
    const a = await dialWorker(world, { id: 'a', serve: () => (silent ? silence() : null) });
    await dialWorker(world, { id: 'b' });
    await world.clock.advance(3 * LEASE.leaseMs);
    expect(world.told('left')).toEqual([]); // heartbeats keep them
    silent = true;
    await world.clock.advance(LEASE.leaseMs - LEASE.heartbeatMs);
    expect(world.told('left')).toEqual([]);
    await world.clock.advance(3 * LEASE.heartbeatMs);
    expect(world.events.filter(({ kind }) => kind === 'left')).toEqual([
      { kind: 'left', workerId: 'a', shard: 0, reason: 'no sign of life for 5000 ms' },
    ]);
    expect(a.closedBecause()).toBe('no sign of life for 5000 ms');
    expect(await stateOf(world)).toBe('degraded');
  });
});

describe('a worker that cannot hold its slice', () => {
  it('hears why and is let go, and another one is given the shard', async () => {
    const world = await start(1);
    await dialWorker(world, {
      id: 'a',
      serve: ({ kind }) => (kind === 'assign' ? silence() : null),
    }).then(({ channel }) => channel.close('gone')); // leaves a plan behind
    const bad = await dialWorker(world, {
      id: 'bad',
      serve: ({ kind }) =>
        kind === 'assign'
          ? Promise.reject(new OperatingError('CHECKPOINT_INVALID', 'NaN; expected none; mend it'))
          : null,
    });
    expect(bad.failure()).toMatchObject({
      code: 'CHECKPOINT_INVALID',
      message: 'NaN; expected none; mend it',
    });
    expect(bad.closedBecause()).toBe('CHECKPOINT_INVALID');
    const good = await dialWorker(world, { id: 'good' });
    expect(assignments(good)).toEqual([0]);
    expect(await stateOf(world)).toBe('ready');
  });

  it('is given an hour', async () => {
    const world = await start(1);
    const slow = await dialWorker(world, {
      id: 'slow',
      serve: ({ kind }) => (kind === 'assign' ? silence() : null),
    });
    await world.clock.advance(3_600_000 - 1);
    expect(slow.failure()).toBeNull();
    await world.clock.advance(1);
    expect(slow.failure()).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  it('because all together are too small: the smallest hears it, and a larger one takes its place', async () => {
    const world = await start(2);
    const { geometry, bytes, ...terms } = planTerms(checkpoint, { kind: 'slots' }, 'workers');
    const workers = ['a', 'b'].map((id) => ({ id, capacityBytes: 1e9 }));
    const { slices } = planPartition({ geometry, bytes, ...terms, workers });
    const need = Math.max(...slices.map((slice) => sliceBytes(geometry, bytes, slice)));
    const large = await dialWorker(world, { id: 'large', capacityBytes: need });
    const small = await dialWorker(world, { id: 'small', capacityBytes: need / 2 });
    expect(small.failure()).toMatchObject({ code: 'PLAN_IMPOSSIBLE' });
    expect(small.failure()?.message.split('; ')).toHaveLength(3);
    expect(large.closedBecause()).toBeNull();
    expect(await stateOf(world)).toBe('waiting');
    await dialWorker(world, { id: 'other', capacityBytes: need });
    expect(await stateOf(world)).toBe('ready');
  });
});

describe('close', () => {
  it('tells the workers, ends their connections, and does nothing more', async () => {
    const world = await start(1);
    const [a, spare] = [await dialWorker(world, { id: 'a' }), await dialWorker(world, { id: 'spare' })];
    const before = world.events.length;
    await world.coordinator.close();
    await settle();
    for (const peer of [a, spare]) {
      expect(peer.notices.slice(1)).toEqual([{ kind: 'leave', reason: 'the coordinator is stopping' }]);
      expect(peer.closedBecause()).toBe('the coordinator is stopping');
    }
    expect(world.events.slice(before)).toEqual([]);
    await expect(world.transport.connect(world.coordinator.url, { timeoutMs: 1 })).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
    });
    await world.clock.advance(3 * LEASE.leaseMs);
    expect(world.events.slice(before)).toEqual([]);
    expect((await world.coordinator.status()).workers).toEqual([]);
  });
});

describe('a model that no workers could hold in this shape', () => {
  it('is refused before anybody waits', async () => {
    const partition = { kind: 'grid', rowParts: 2, columnParts: 2 } as const;
    await expect(start(3, { partition })).rejects.toMatchObject({ code: 'PLAN_IMPOSSIBLE' });
    const plain = await syntheticCheckpoint(
      { ...V1_MODEL, mem_insert_way: 'no_mem' },
      { seed: 1, dtype: 'F32' },
    );
    await expect(startWorld(plain, { workersWanted: 1 })).rejects.toMatchObject({
      code: 'PLAN_IMPOSSIBLE',
      message: expect.stringContaining('no memory layers'),
    });
  });
});
