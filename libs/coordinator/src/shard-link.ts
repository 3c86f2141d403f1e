import type { Clock } from '@ultramem/environment';
import { OperatingError } from '@ultramem/invariant';
import type { ShardSlice } from '@ultramem/planner';
import { type AnswerTo, codedError, type PooledEncoding } from '@ultramem/protocol';
import type { CancelSignal, Channel, RequestBody } from '@ultramem/transport';
import type { LatencyWindow } from './latency-window.ts';

/** The lookup phases that a worker answers. */
export type Phase = 'score' | 'prescore' | 'pool';

/** The way to the owner of one shard, for one assignment of it. */
export interface ShardLink {
  readonly slice: ShardSlice;
  readonly workerId: string;
  /** Of the assignment; every request to the owner carries it. */
  readonly epoch: number;
  readonly channel: Channel;
  readonly latency: LatencyWindow;
  /** How its pooled vectors are to travel. */
  readonly pooledAs: PooledEncoding;
}

/**
 * Asks a shard's owner and names it in every failure.
 *
 * @throws OperatingError SHARD_UNAVAILABLE when the owner was lost, DEADLINE_EXCEEDED when it did not answer in time, or what it refused with.
 */
export async function askShard<K extends Phase>(
  link: ShardLink,
  body: { kind: K } & RequestBody<K>,
  { clock, deadlineAtMs }: { clock: Clock; deadlineAtMs: number },
  signal: CancelSignal,
): Promise<AnswerTo<K>> {
  const startMs = clock.nowMs();
  try {
    const answer = await link.channel.request<K>(body, {
      deadlineMs: Math.max(1, deadlineAtMs - startMs),
      signal,
    });
    link.latency.add(clock.nowMs() - startMs);
    return answer;
  } catch (error) {
    throw named(error, link, body.kind, clock.nowMs() - startMs);
  }
}

function named(error: unknown, link: ShardLink, phase: Phase, elapsedMs: number): unknown {
  if (!(error instanceof OperatingError)) return error;
  const owner = `worker ${link.workerId} (${describeSlice(link.slice)})`;
  switch (error.code) {
    case 'CONNECTION_LOST':
      return codedError(
        'SHARD_UNAVAILABLE',
        `${owner} was lost during ${phase}; expected every shard to answer; start the worker again, its place is kept`,
        error,
      );
    case 'DEADLINE_EXCEEDED':
      return codedError(
        'DEADLINE_EXCEEDED',
        `${owner} did not answer ${phase} within ${Math.round(elapsedMs)} ms; expected an answer in time; look at that process, or raise --lookup-timeout`,
        error,
      );
    default:
      return new OperatingError(error.code, `${owner}: ${error.message}`, {
        retriable: error.retriable,
        cause: error,
      });
  }
}

export function describeSlice({ shard, rows, columns }: ShardSlice): string {
  return `shard ${shard}: rows ${rows.start} to ${rows.end - 1}, columns ${columns.start} to ${columns.end - 1}`;
}

/** An answer that passed the protocol's checks but does not fit the request: the two sides disagree about the model. */
export function misfit(link: ShardLink, phase: Phase, found: number, expected: number): OperatingError {
  return codedError(
    'UNEXPECTED_MESSAGE',
    `worker ${link.workerId} answered ${phase} with ${found} numbers; expected ${expected}; run the same release everywhere`,
  );
}
