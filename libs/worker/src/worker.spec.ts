import type { Checkpoint } from '@ultramem/checkpoint';
import { syntheticCheckpoint, V2_MODEL } from '@ultramem/checkpoint/synthetic';
import { OperatingError } from '@ultramem/invariant';
import { createReferenceKernels, type Kernels } from '@ultramem/kernels';
import { codedError, type MessageOfKind } from '@ultramem/protocol';
import { createMemoryTransport, failureMessage, type Transport } from '@ultramem/transport';
import { beforeAll, describe, expect, it } from 'vitest';
import { CONNECT_TIMEOUT_MS, LEASE, type Session, settle, startWorld } from '../test/scripted-coordinator.ts';

let checkpoint: Checkpoint;
beforeAll(async () => {
  checkpoint = await syntheticCheckpoint(V2_MODEL, { seed: 1, dtype: 'F32' });
});

const silent = () => {};
const refuse = (error: OperatingError) => (session: Session) => {
  session.channel.notify(failureMessage(null, error));
  session.channel.close(error.code);
};
const scoring: Omit<MessageOfKind<'score'>, 'id' | 'deadlineMs'> = {
  kind: 'score',
  epoch: 1,
  layer: 0,
  tokenCount: 1,
  groupCount: 1,
  topK: 2,
  query: new Float32Array(12),
};

/** The checkpoint, whose tensors wait to be read until `open` is called. */
function gated(): { checkpoint: Checkpoint; open: () => void } {
  let open = silent;
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const tensor: Checkpoint['tensor'] = (name) => {
    const source = checkpoint.tensor(name);
    return { ...source, read: (first, byteCount) => gate.then(() => source.read(first, byteCount)) };
  };
  return { checkpoint: { ...checkpoint, tensor }, open };
}

/** The checkpoint with keys that are no numbers. */
function withoutKeys(): Checkpoint {
  const tensor: Checkpoint['tensor'] = (name) => {
    const source = checkpoint.tensor(name);
    if (!name.endsWith('.keys')) return source;
    return { ...source, read: async (_, byteCount) => new Uint8Array(byteCount).fill(0xff) };
  };
  return { ...checkpoint, tensor };
}

/** Kernels whose device can be lost: then every call fails. */
function losable() {
  const good = createReferenceKernels();
  let isLost = false;
  let isClosed = false;
  const refuse = () => {
    if (isLost) throw codedError('DEVICE_LOST', 'the device was lost; expected it; open another');
  };
  const kernels: Kernels = {
    ...good,
    scoreKeys: async (keys, request) => {
      refuse();
      return good.scoreKeys(keys, request);
    },
    loadValues: async (source, rows, columns) => {
      refuse();
      return good.loadValues(source, rows, columns);
    },
    close: async () => {
      isClosed = true;
    },
  };
  const lose = () => {
    isLost = true;
  };
  return { kernels, lose, isClosed: () => isClosed };
}

function never(): never {
  throw new Error('no more devices');
}

describe('a worker', () => {
  it('says who it is and what it has', async () => {
    const { session, states } = await startWorld(checkpoint);
    expect(session().notices).toEqual([
      {
        kind: 'hello',
        protocolMin: 1,
        protocolMax: 1,
        software: 'test/1',
        role: 'worker',
        token: 'secret',
        worker: {
          workerId: 'w',
          instance: 'w-1',
          capacityBytes: 1e9,
          backend: 'reference',
          fingerprint: checkpoint.fingerprint,
        },
      },
    ]);
    expect(states()).toEqual(['greeting', 'standby']);
  });

  it('holds what it is assigned and answers for it', async () => {
    const { session, events, worker } = await startWorld(checkpoint);
    expect(worker.status()).toMatchObject({ state: 'standby', shard: null, slice: null, lookups: 0 });
    const { epoch, residentBytes } = await session().assign({ epoch: 4, shard: 2 });
    expect(epoch).toBe(4);
    expect(events.at(-1)).toEqual({ kind: 'ready', shard: 2, epoch: 4, residentBytes });
    expect(events.some(({ kind }) => kind === 'loading')).toBe(true);
    const found = await session().channel.request({ ...scoring, epoch: 4 }, { deadlineMs: 1_000 });
    expect(found).toMatchObject({ kind: 'candidates', computeMs: 0 });
    const dots = await session().channel.request(
      {
        kind: 'prescore',
        epoch: 4,
        layer: 0,
        tokenCount: 1,
        entryStart: Uint32Array.of(0, 1),
        slot: Uint32Array.of(1),
        query: new Float32Array(8),
      },
      { deadlineMs: 1_000 },
    );
    expect(dots.dots).toEqual(Float64Array.of(0));
    const pooled = await session().channel.request(
      {
        kind: 'pool',
        epoch: 4,
        layer: 0,
        tokenCount: 1,
        blockCount: 1,
        coreCount: 2,
        activation: false,
        encoding: 'f32',
        entryStart: Uint32Array.of(0, 3),
        slot: Uint32Array.of(1, 2, 3),
        block: new Uint8Array(3),
        weight: new Float32Array(6),
        preQuery: new Float32Array(0),
      },
      { deadlineMs: 1_000 },
    );
    expect(pooled.pooled).toEqual(new Float32Array(8));
    const pulse = await session().channel.request({ kind: 'heartbeat', echoBytes: 0 }, { deadlineMs: 1_000 });
    expect(pulse).toMatchObject({
      state: 'ready',
      epoch: 4,
      lookups: 3,
      rowsRead: 3,
      residentBytes,
      processBytes: 5,
      loopDelayP99Ms: 1.5,
      loopDelayMaxMs: 4,
    });
    expect({ ...pulse, ...worker.status() }).toEqual({ ...pulse, shard: 2, slice: expect.anything() });
    expect(worker.status().slice?.rows).toEqual({ start: 0, end: checkpoint.geometry?.tableRows });
  });

  it('refuses what it is not the right one for', async () => {
    const { session } = await startWorld(checkpoint);
    const score = (changes: object) =>
      session().channel.request({ ...scoring, ...changes }, { deadlineMs: 1_000 });
    await expect(score({})).rejects.toMatchObject({ code: 'NOT_READY', retriable: true });
    await session().assign({ epoch: 4 });
    await expect(score({ epoch: 3 })).rejects.toMatchObject({
      code: 'STALE_EPOCH',
      retriable: true,
      message: expect.stringContaining('epoch 3, this shard is of epoch 4'),
    });
    await expect(score({ epoch: 4, layer: 9 })).rejects.toMatchObject({
      code: 'UNEXPECTED_MESSAGE',
      message: expect.stringContaining('memory layer 9'),
    });
    await session().assign({ epoch: 5, keys: { start: 0, end: 2 } });
    await expect(score({ epoch: 4 })).rejects.toMatchObject({ code: 'STALE_EPOCH' });
    expect((await score({ epoch: 5 })).kind).toBe('candidates');
  });

  it('refuses an assignment of another checkpoint, and stands by', async () => {
    const { session, states } = await startWorld(checkpoint);
    await expect(session().assign({ rows: { start: 0, end: 37 } })).rejects.toMatchObject({
      code: 'UNEXPECTED_MESSAGE',
      message: expect.stringMatching(/rows end at 37, but the table has 36; .*; .*/),
    });
    expect(states()).toEqual(['greeting', 'standby']);
    await session().assign();
  });

  it('answers nothing from a slice on its way', async () => {
    const { checkpoint: waiting, open } = gated();
    const { session } = await startWorld(waiting);
    const ready = session().assign();
    await settle();
    await expect(session().channel.request(scoring, { deadlineMs: 1_000 })).rejects.toMatchObject({
      code: 'NOT_READY',
    });
    open();
    await ready;
    expect((await session().channel.request(scoring, { deadlineMs: 1_000 })).kind).toBe('candidates');
  });
});

describe('an id that no hello can carry', () => {
  it.each(['', 'x'.repeat(129)])('ends the worker before it dials', async (workerId) => {
    const { end, sessions } = await startWorld(checkpoint, { workerId });
    expect(end()).toMatchObject({
      code: 'USAGE',
      message: `the id of the worker has ${workerId.length} characters; expected 1 to 128; choose another --id`,
    });
    expect(sessions).toEqual([]);
  });
});

describe('a checkpoint with broken keys', () => {
  it('is told to the coordinator, which lets the worker go; then it ends with the reason', async () => {
    const { session, end, states, defects } = await startWorld(withoutKeys());
    const failure = await session()
      .assign()
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'CHECKPOINT_INVALID', message: expect.stringContaining('NaN') });
    expect(states()).toEqual(['greeting', 'standby', 'loading', 'standby']);
    await expect(session().assign()).rejects.toMatchObject({ code: 'CHECKPOINT_INVALID' });
    if (!(failure instanceof OperatingError)) throw failure;
    refuse(failure)(session());
    await settle();
    expect(end()).toMatchObject({ code: 'CHECKPOINT_INVALID', message: failure.message });
    expect(defects).toEqual([]);
  });
});

describe('a coordinator that is not there', () => {
  it('is looked for with growing pauses until the time is up, then the worker ends with the reason', async () => {
    const dials: number[] = [];
    const timeouts: number[] = [];
    const inner = createMemoryTransport();
    let nowMs = () => 0;
    const connect: Transport['connect'] = (url, options) => {
      dials.push(nowMs());
      timeouts.push(options.timeoutMs);
      return inner.connect(url, options);
    };
    const { clock, end } = await startWorld(checkpoint, {
      transport: { listen: inner.listen, connect },
      coordinatorUrl: 'memory:8',
    });
    nowMs = () => clock.nowMs();
    await clock.advance(CONNECT_TIMEOUT_MS - 1);
    expect(end()).toBeNull();
    await clock.advance(1);
    expect(end()).toMatchObject({
      code: 'CONNECT_FAILED',
      retriable: false,
      message: `no coordinator let this worker in at memory:8 for 20 s (nobody listens at memory:8); expected a running coordinator; start it, or raise --connect-timeout`,
    });
    const pauses = dials.slice(1).map((atMs, i) => atMs - (dials[i] ?? 0));
    expect(pauses.length).toBeGreaterThan(8);
    expect([timeouts[0], timeouts.at(-1)]).toEqual([CONNECT_TIMEOUT_MS, 250]);
    for (const [i, pauseMs] of pauses.slice(0, -1).entries()) {
      expect(pauseMs).toBeLessThanOrEqual(Math.min(3_000, 100 * 2 ** (i + 1)));
      expect(pauseMs).toBeGreaterThanOrEqual(Math.min(3_000, 100 * 2 ** i) / 2);
    }
  });

  it.each([
    {
      how: 'says nothing',
      onSession: silent,
      reason:
        /^no coordinator let this worker in .* for 20 s \(memory:7 hung up before it said welcome \(no welcome within 20000 ms\)\); .*; .*$/,
    },
    {
      how: 'hangs up at once',
      onSession: ({ channel }: Session) => channel.close('busy'),
      reason: /\(memory:7 hung up before it said welcome \(busy\)\)/,
    },
    {
      how: 'says not now',
      onSession: refuse(codedError('NOT_READY', 'wait; expected later; wait')),
      reason: /for 20 s \(wait\)/,
    },
    {
      how: 'speaks another language',
      onSession: (_: Session, { send }: { send: (pieces: Uint8Array[]) => void }) => send([Uint8Array.of(1)]),
      reason: /MALFORMED_MESSAGE/,
    },
  ])('because what is there $how: given up as well', async ({ onSession, reason }) => {
    const { clock, end, defects } = await startWorld(checkpoint, {}, onSession);
    await clock.advance(CONNECT_TIMEOUT_MS - 1);
    expect(end()).toBeNull();
    await clock.advance(CONNECT_TIMEOUT_MS);
    expect(end()).toMatchObject({ message: expect.stringMatching(reason), retriable: false });
    expect(defects).toEqual([]);
  });

  it.each([
    'UNAUTHORIZED',
    'DUPLICATE_WORKER',
    'CHECKPOINT_MISMATCH',
    'PROTOCOL_VERSION',
    'PLAN_IMPOSSIBLE',
  ] as const)('because it refuses for good, %s: the worker ends at once with that', async (code) => {
    const { end, sessions } = await startWorld(
      checkpoint,
      {},
      refuse(codedError(code, 'no; expected yes; go')),
    );
    expect(end()).toMatchObject({ code, message: 'no; expected yes; go' });
    expect(sessions).toHaveLength(1);
  });

  it('in the URL ends the worker at once', async () => {
    expect((await startWorld(checkpoint, { coordinatorUrl: 'http://x' })).end()).toMatchObject({
      code: 'URL_INVALID',
    });
  });
});

describe('a connection that ends', () => {
  it('is dialled again, and what is held is kept', async () => {
    const { session, sessions, clock, events, states } = await startWorld(checkpoint);
    await session().assign();
    session().channel.close('restarting');
    await settle();
    expect(states().at(-1)).toBe('connecting');
    expect(events.at(-1)).toMatchObject({ reason: 'disconnected: restarting' });
    await clock.advance(100);
    expect(sessions).toHaveLength(2);
    expect(states().at(-1)).toBe('standby');
    const before = events.length;
    await session().assign({ epoch: 2, shard: 3 });
    expect(events.slice(before).map(({ kind }) => kind)).toEqual(['state', 'state', 'ready']); // nothing was loaded
    expect((await session().channel.request({ ...scoring, epoch: 2 }, { deadlineMs: 1_000 })).kind).toBe(
      'candidates',
    );
  });

  it('gives the worker its whole time again, however late, and whatever it was told last', async () => {
    const { session, sessions, clock, end } = await startWorld(checkpoint);
    for (let beat = 0; beat < 60; beat++) {
      await session().channel.request({ kind: 'heartbeat', echoBytes: 0 }, { deadlineMs: 100 });
      await clock.advance(LEASE.heartbeatMs);
    }
    refuse(codedError('OVERLOADED', 'busy; expected less; wait'))(session());
    await settle();
    expect(end()).toBeNull();
    await clock.advance(100);
    expect(sessions).toHaveLength(2);
  });

  it('while a shard loads: the load goes on, and its tables are taken over', async () => {
    const { checkpoint: waiting, open } = gated();
    const { session, clock, states, events } = await startWorld(waiting);
    const lost = expect(session().assign()).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    await settle();
    session().channel.close('restarting');
    await lost;
    await clock.advance(100);
    const ready = session().assign({ epoch: 2 });
    await settle();
    expect(states()).toEqual([
      'greeting',
      'standby',
      'loading',
      'connecting',
      'greeting',
      'standby',
      'loading',
    ]);
    open();
    expect(await ready).toMatchObject({ epoch: 2 });
    expect(events.filter(({ kind }) => kind === 'ready')).toHaveLength(1);
    const last = events.filter((event) => event.kind === 'loading').at(-1);
    expect(last?.loadedBytes).toBe(last?.totalBytes); // read once, not twice
  });

  it('because the coordinator is silent for longer than its lease', async () => {
    const { session, clock } = await startWorld(checkpoint);
    for (let beat = 0; beat < 10; beat++) {
      await clock.advance(LEASE.leaseMs - 1);
      await session().channel.request({ kind: 'heartbeat', echoBytes: 0 }, { deadlineMs: 100 });
    }
    expect(session().closedBecause()).toBeNull();
    const last = session();
    await clock.advance(LEASE.leaseMs);
    expect(last.closedBecause()).toBeNull();
    await clock.advance(LEASE.leaseMs / 2);
    expect(last.closedBecause()).toBe('the coordinator was silent for 5000 ms');
  });
});

describe('a device that is lost', () => {
  it('ends the connection; the worker joins again with another and loads what it is assigned anew', async () => {
    const broken = losable();
    const next = losable();
    const { session, sessions, clock, events, states, defects } = await startWorld(checkpoint, {
      kernels: broken.kernels,
      reopenKernels: async () => next.kernels,
    });
    await session().assign();
    broken.lose();
    await expect(session().channel.request(scoring, { deadlineMs: 1_000 })).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
      retriable: true,
    });
    await settle();
    expect(events.at(-1)).toMatchObject({ reason: 'disconnected: the GPU device of this worker was lost' });
    expect(broken.isClosed()).toBe(true);
    await clock.advance(100);
    expect(sessions).toHaveLength(2);
    expect(states().at(-1)).toBe('standby');
    const before = events.length;
    await session().assign({ epoch: 2 });
    expect(events.slice(before).some(({ kind }) => kind === 'loading')).toBe(true); // the old tables went with the device
    const found = await session().channel.request({ ...scoring, epoch: 2 }, { deadlineMs: 1_000 });
    expect(found.kind).toBe('candidates');
    expect(defects).toEqual([]);
  });

  it('while a shard loads, or twice, is no different', async () => {
    const opened = [losable(), losable(), losable()];
    let at = 0;
    const { session, sessions, clock } = await startWorld(checkpoint, {
      kernels: opened[0]?.kernels ?? never(),
      reopenKernels: async () => opened[++at]?.kernels ?? never(),
    });
    for (const { lose } of opened.slice(0, 2)) {
      lose();
      await expect(session().assign()).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
      await settle();
      await clock.advance(1_000);
    }
    expect(sessions).toHaveLength(3);
    await session().assign({ epoch: 3 });
  });

  it('without another ends the worker with the reason', async () => {
    const { kernels, lose } = losable();
    const { session, end, worker } = await startWorld(checkpoint, { kernels });
    await session().assign();
    lose();
    await session()
      .channel.request(scoring, { deadlineMs: 1_000 })
      .catch(() => {});
    await settle();
    expect(end()).toMatchObject({ code: 'DEVICE_LOST' });
    await worker.leave('stopped');
  });

  it('and no new one to be had ends the worker with that', async () => {
    const { kernels, lose } = losable();
    const { session, end } = await startWorld(checkpoint, {
      kernels,
      reopenKernels: () =>
        Promise.reject(codedError('BACKEND_UNAVAILABLE', 'none; expected one; plug it in')),
    });
    await session().assign();
    lose();
    await session()
      .channel.request(scoring, { deadlineMs: 1_000 })
      .catch(() => {});
    await settle();
    expect(end()).toMatchObject({ code: 'BACKEND_UNAVAILABLE' });
  });
});

describe('leave', () => {
  it('on standby says goodbye and ends', async () => {
    const { session, worker, end, states } = await startWorld(checkpoint);
    await worker.leave('stopped');
    await settle();
    expect(session().notices.at(-1)).toEqual({ kind: 'leave', reason: 'stopped' });
    expect(session().closedBecause()).toBe('stopped');
    expect(end()).toBe('left');
    await worker.leave('again');
    expect(states()).toEqual(['greeting', 'standby', 'left']);
  });

  it('when ready gives the slice back', async () => {
    const { session, worker, end } = await startWorld(checkpoint);
    await session().assign();
    await worker.leave('stopped');
    await settle();
    expect(end()).toBe('left');
    await expect(session().channel.request(scoring, { deadlineMs: 10 })).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
    });
  });

  it('while greeting, also when the welcome is on its way', async () => {
    const { session, worker, end, defects } = await startWorld(checkpoint, {}, silent);
    session().welcome();
    const left = worker.leave('stopped');
    await left;
    await settle();
    expect(end()).toBe('left');
    expect(session().closedBecause()).toBe('stopped');
    expect(defects).toEqual([]);
  });

  it('while loading: the assignment fails, and what was read is let go', async () => {
    const { checkpoint: waiting, open } = gated();
    const { session, worker, end, states, defects } = await startWorld(waiting);
    const lost = expect(session().assign()).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    await settle();
    await worker.leave('stopped');
    await lost;
    open();
    await settle();
    expect(end()).toBe('left');
    expect(states().at(-1)).toBe('left');
    expect(defects).toEqual([]);
  });

  it('while an assignment is on its way is no defect', async () => {
    const { session, worker, end, defects } = await startWorld(checkpoint);
    const lost = expect(session().assign()).rejects.toBeInstanceOf(OperatingError);
    await worker.leave('stopped');
    await lost;
    await settle();
    expect([end(), defects]).toEqual(['left', []]);
  });

  it('between two dials ends at once', async () => {
    const { worker, end, clock } = await startWorld(
      checkpoint,
      {},
      refuse(codedError('NOT_READY', 'a; b; c')),
    );
    expect(end()).toBeNull();
    await worker.leave('stopped');
    await settle();
    expect(end()).toBe('left');
    expect(clock.nowMs()).toBe(0);
  });

  it.each([
    { outcome: 'succeeds', settleDial: (inner: Transport) => inner.connect('memory:7', { timeoutMs: 1 }) },
    { outcome: 'fails', settleDial: () => Promise.reject(codedError('CONNECT_FAILED', 'a; b; c')) },
    {
      outcome: 'fails for good',
      settleDial: () => Promise.reject(codedError('NOT_A_COORDINATOR', 'a; b; c')),
    },
  ])('while a dial that $outcome is under way', async ({ settleDial }) => {
    const inner = createMemoryTransport();
    let answer = silent;
    const transport: Transport = {
      listen: inner.listen,
      connect: () => new Promise<void>((resolve) => (answer = resolve)).then(() => settleDial(inner)),
    };
    const { worker, end, sessions, clock } = await startWorld(checkpoint, { transport }, silent);
    await worker.leave('stopped');
    await clock.advance(CONNECT_TIMEOUT_MS);
    answer();
    await settle();
    expect(end()).toBe('left');
    for (const session of sessions) expect(session.closedBecause()).toBe('left while connecting');
  });
});

describe('a coordinator that breaks the rules', () => {
  it.each([
    { what: 'a second welcome', act: ({ welcome }: Session) => welcome() },
    {
      what: 'a question of clients',
      act: ({ channel }: Session) =>
        void channel.request({ kind: 'status' }, { deadlineMs: 1 }).catch(silent),
    },
  ])('by $what is hung up on', async ({ act }) => {
    const { session, clock, sessions, defects } = await startWorld(checkpoint);
    const first = session();
    act(first);
    await settle();
    expect(first.notices.at(-1)).toMatchObject({ kind: 'failure', code: 'UNEXPECTED_MESSAGE' });
    expect(first.closedBecause()).toContain('UNEXPECTED_MESSAGE');
    await clock.advance(100);
    expect(sessions).toHaveLength(2);
    expect(defects).toEqual([]);
  });

  it.each([0, 2])('by speaking protocol %d ends the worker with the reason', async (protocol) => {
    const welcome = { kind: 'welcome', protocol, software: '', clusterId: '', ...LEASE } as const;
    const { session, end, defects } = await startWorld(checkpoint, {}, ({ channel }) =>
      channel.notify(welcome),
    );
    expect(end()).toMatchObject({
      code: 'PROTOCOL_VERSION',
      message: expect.stringContaining(`protocol ${protocol}`),
    });
    expect(session().notices.at(-1)).toMatchObject({ kind: 'failure', code: 'PROTOCOL_VERSION' });
    expect(defects).toEqual([]);
  });

  it('by an assignment before the welcome, or during another one, is refused', async () => {
    const early = await startWorld(checkpoint, {}, silent);
    await expect(early.session().assign()).rejects.toMatchObject({
      code: 'UNEXPECTED_MESSAGE',
      message: expect.stringContaining('an assignment while this worker is greeting'),
    });
    const { checkpoint: waiting, open } = gated();
    const { session, defects } = await startWorld(waiting);
    const ready = session().assign();
    await settle();
    await expect(session().assign({ epoch: 2 })).rejects.toMatchObject({ code: 'UNEXPECTED_MESSAGE' });
    open();
    expect(await ready).toMatchObject({ epoch: 1 });
    expect([early.defects, defects]).toEqual([[], []]);
  });
});
