import type { Checkpoint } from '@ultramem/checkpoint';
import { syntheticCheckpoint, V1_MODEL } from '@ultramem/checkpoint/synthetic';
import { createRandom, ManualClock } from '@ultramem/environment';
import type { LookupRequest } from '@ultramem/inference';
import { present } from '@ultramem/invariant';
import type { PooledEncoding, Request } from '@ultramem/protocol';
import type { AnswerBody } from '@ultramem/transport';
import { beforeAll, describe, expect, it } from 'vitest';
import { dialWorker, startWorld, type WorkerScript } from '../test/scripted-cluster.ts';

let checkpoint: Checkpoint;
beforeAll(async () => {
  checkpoint = await syntheticCheckpoint(V1_MODEL, { seed: 1, dtype: 'F32' });
});

const SLOW = 1e8;
const TOKENS = 3;

function randomRequest(): LookupRequest {
  const { queryGroupUsed, keyWidth } = present(checkpoint.geometry, 'the model has a memory');
  const random = createRandom(7);
  const query = Float32Array.from({ length: TOKENS * queryGroupUsed * 2 * keyWidth }, () => random.normal());
  return { layer: 0, tokenCount: TOKENS, query, preQuery: null, explain: false };
}

/** Two workers, each with half the columns; bytes take their time to the second one. */
async function startPair(encoding: PooledEncoding | null, tamper?: WorkerScript['tamper']) {
  const clock = new ManualClock();
  const world = await startWorld(checkpoint, {
    workersWanted: 2,
    clock,
    partition: { kind: 'columns' },
    ...(encoding === null ? {} : { slowLinks: { encoding, bytesPerSecond: 5e8 } }),
  });
  const near = await dialWorker(world, { id: 'near' });
  const far = await dialWorker(world, {
    id: 'far',
    ...(tamper === undefined ? {} : { tamper }),
    serve: (request) => {
      if (request.kind === 'heartbeat' && request.echoBytes > 0)
        clock.advance((request.echoBytes / SLOW) * 1e3);
      return null;
    },
  });
  await world.coordinator.whenReady();
  const { pooled } = await world.coordinator.lookUp(randomRequest());
  const status = await world.coordinator.status();
  return { world, near, far, pooled, status };
}

function asked(peer: { requests: readonly { kind: string; encoding?: string }[] }): unknown[] {
  return peer.requests.flatMap((request) => (request.kind === 'pool' ? [request.encoding] : []));
}

it('changes nothing unless it is asked to', async () => {
  const { near, far, status, world } = await startPair(null);
  expect([...asked(near), ...asked(far)]).toEqual(['f32', 'f32']);
  expect(status.workers.map(({ linkBytesPerSecond }) => linkBytesPerSecond)).toEqual([
    null,
    expect.closeTo(SLOW, -3),
  ]);
  expect(world.told('slow-link')).toEqual([]);
});

it('plans when every link was timed, and rounds on all that are slow', async () => {
  const clock = new ManualClock();
  const slowLinks = { encoding: 'bf16', bytesPerSecond: 5e8 } as const;
  const world = await startWorld(checkpoint, { workersWanted: 2, clock, slowLinks });
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const slowly = (request: Request, gate: Promise<void> | null): Promise<AnswerBody> | null => {
    if (request.kind !== 'heartbeat' || request.echoBytes === 0) return null;
    clock.advance((request.echoBytes / SLOW) * 1e3);
    return gate === null ? null : gate.then(() => pulseOf(request.echoBytes));
  };
  const peers = [
    await dialWorker(world, { id: 'a', serve: (request) => slowly(request, null) }),
    await dialWorker(world, { id: 'b', serve: (request) => slowly(request, held) }),
  ];
  expect(world.told('slow-link', 'planned')).toEqual(['slow-link a']);
  release();
  await world.coordinator.whenReady();
  expect(world.told('slow-link', 'planned')).toEqual(['slow-link a', 'slow-link b', 'planned']);
  await world.coordinator.lookUp(randomRequest());
  expect(peers.flatMap(asked)).toEqual(['bf16', 'bf16']);
});

function pulseOf(echoBytes: number): AnswerBody {
  const counters = { lookups: 0, rowsRead: 0, residentBytes: 0, processBytes: 0 };
  const echo = new Uint8Array(echoBytes);
  return {
    kind: 'pulse',
    ...{ state: 'ready', epoch: 0, ...counters, loopDelayP99Ms: null, loopDelayMaxMs: null, echo },
  };
}

describe.each([
  ['bf16', 2 ** -8],
  ['int8', 1 / 250],
] as const)('%s', (encoding, error) => {
  it('is for the slow link alone, told once, and no further off than stated', async () => {
    const exact = await startPair(null);
    const { near, far, pooled, status, world } = await startPair(encoding);
    expect([...asked(near), ...asked(far)]).toEqual(['f32', encoding]);
    expect(status.workers.map(({ pooledAs }) => pooledAs)).toEqual(['f32', encoding]);
    expect(world.told('slow-link')).toEqual(['slow-link far']);
    const { valueWidth } = present(checkpoint.geometry, 'the model has a memory');
    const largest = exact.pooled.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    let differences = 0;
    for (const [i, number] of pooled.entries()) {
      const want = present(exact.pooled[i], 'both have the same length');
      if (i % valueWidth < valueWidth / 2) expect(number).toBe(want);
      else {
        const scale = encoding === 'bf16' ? Math.abs(want) : largest;
        expect(Math.abs(number - want)).toBeLessThanOrEqual(scale * error);
        if (number !== want) differences++;
      }
    }
    expect(differences).toBeGreaterThan(0);
  });

  it('is refused where it was not asked for, or does not hold what was', async () => {
    const change = (fields: Record<string, unknown>) => (answer: AnswerBody) =>
      answer.kind === 'pooled' ? { ...answer, ...fields } : answer;
    const other = encoding === 'bf16' ? 'int8' : 'bf16';
    for (const tamper of [change({ encoding: other }), change({ packed: new Uint8Array(6) })])
      await expect(startPair(encoding, tamper)).rejects.toMatchObject({
        code: 'UNEXPECTED_MESSAGE',
        message: expect.stringContaining(`numbers in ${encoding}; run the same release everywhere`),
      });
  });
});
