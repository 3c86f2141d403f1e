import type { MemoryGeometry } from '@ultramem/ultramem';
import { estimateLookup, type Link, type LookupEstimate, type Rates } from './estimate.ts';
import { formatBytes } from './format-bytes.ts';
import type { KeysMode } from './keys-mode.ts';
import { coordinatorBytes, sliceBytes, type WeightBytes } from './memory.ts';
import { formatPartition, type Partition } from './partition.ts';
import { type SlicedTables, sliceTables, type WorkerCapacity } from './slice-tables.ts';

/** Decoding one sequence, and a prefill or a busy server. */
export const ESTIMATED_BATCHES: readonly number[] = [1, 256];

export interface PlanRequest {
  readonly geometry: MemoryGeometry;
  readonly bytes: WeightBytes;
  readonly workers: readonly WorkerCapacity[];
  readonly partition: Partition | 'auto';
  readonly keys: KeysMode;
  readonly link: Link;
  readonly rates: Rates;
  /** Refuse what needs more on the coordinator; without it nothing is refused there. */
  readonly coordinatorBytesMax?: number;
}

export interface Candidate {
  readonly partition: Partition;
  readonly keys: KeysMode;
}

/** Why a candidate is out. `text` has no full stop and no semicolon, so that it can stand in a table and in an error. */
export type Refusal =
  | { readonly reason: 'shape'; readonly text: string }
  | { readonly reason: 'worker-memory'; readonly text: string; readonly workerBytes: readonly number[] }
  | { readonly reason: 'coordinator-memory'; readonly text: string };

export interface Refused extends Candidate {
  readonly refusal: Refusal;
}

export interface Fitting extends Candidate {
  readonly refusal: null;
  readonly workerBytes: readonly number[]; // [workers], index = shard
  readonly coordinatorBytes: number;
  readonly lookups: readonly LookupEstimate[]; // one for each of ESTIMATED_BATCHES
}

export type Estimate = Refused | Fitting;

/**
 * Everything worth comparing, in the order that decides between equals: slots, columns, the grids of at least 2 x 2 with few
 * row parts first, then an asked-for grid that is none of these. Within a partition the keys modes that the request allows; `auto`
 * falls back on the others, because it needs memory for keys on both sides.
 */
export function enumerateCandidates(
  request: Pick<PlanRequest, 'workers' | 'partition' | 'keys'>,
): Candidate[] {
  const count = request.workers.length;
  const partitions: Partition[] = [{ kind: 'slots' }, { kind: 'columns' }];
  for (let rowParts = 2; rowParts * 2 <= count; rowParts++) {
    if (count % rowParts === 0) partitions.push({ kind: 'grid', rowParts, columnParts: count / rowParts });
  }
  const asked = request.partition;
  if (asked !== 'auto' && !partitions.some((known) => formatPartition(known) === formatPartition(asked)))
    partitions.push(asked);
  const modes: KeysMode[] = request.keys === 'auto' ? ['auto', 'coordinator', 'workers'] : [request.keys];
  return partitions.flatMap((partition) => modes.map((keys) => ({ partition, keys })));
}

/** Cuts the tables as the candidate says, and estimates it or says why it is out. `sliced` is null when it is. */
export function rateCandidate(
  request: PlanRequest,
  candidate: Candidate,
): { estimate: Estimate; sliced: SlicedTables | null } {
  const { geometry, bytes, link, rates } = request;
  const { partition, keys } = candidate;
  const refused = (refusal: Refusal): { estimate: Refused; sliced: null } => ({
    estimate: { partition, keys, refusal },
    sliced: null,
  });
  const sliced = sliceTables(geometry, partition, keys, request.workers);
  if (typeof sliced === 'string') return refused({ reason: 'shape', text: sliced });
  const onCoordinator = coordinatorBytes(geometry, bytes, keys);
  const limit = request.coordinatorBytesMax;
  if (limit !== undefined && onCoordinator > limit) {
    const text = `needs ${formatBytes(onCoordinator)} on the coordinator, which may use ${formatBytes(limit)}`;
    return refused({ reason: 'coordinator-memory', text });
  }
  const workerBytes = sliced.slices.map((slice) => sliceBytes(geometry, bytes, slice));
  const tooSmall = memoryRefusal(workerBytes, sliced.workers);
  if (tooSmall !== null) return refused({ reason: 'worker-memory', text: tooSmall, workerBytes });
  const lookups = ESTIMATED_BATCHES.map((batch) =>
    estimateLookup({ geometry, bytes, partition, slices: sliced.slices, link, rates }, keys, batch),
  );
  return {
    estimate: { partition, keys, refusal: null, workerBytes, coordinatorBytes: onCoordinator, lookups },
    sliced,
  };
}

function memoryRefusal(workerBytes: readonly number[], workers: readonly WorkerCapacity[]): string | null {
  const worst = workers
    .map((worker, shard) => ({ worker, needs: workerBytes[shard] }))
    .find(({ worker, needs }) => needs > worker.capacityBytes);
  if (worst === undefined) return null;
  const least = formatBytes(Math.min(...workerBytes));
  const most = formatBytes(Math.max(...workerBytes));
  const largest = formatBytes(Math.max(...workers.map((worker) => worker.capacityBytes)));
  if (least === most) return `needs ${most} on each of ${workers.length} workers, the largest has ${largest}`;
  const { worker, needs } = worst;
  return `needs ${least} to ${most} on each of ${workers.length} workers, but ${formatBytes(needs)} on ${worker.id}, which has ${formatBytes(worker.capacityBytes)}`;
}
