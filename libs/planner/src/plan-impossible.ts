import { assert, OperatingError } from '@ultramem/invariant';
import { type Estimate, type PlanRequest, type Refusal, type Refused, rateCandidate } from './candidate.ts';
import { formatBytes } from './format-bytes.ts';
import { formatPartition } from './partition.ts';

type MemoryRefused = Refused & { refusal: Extract<Refusal, { reason: 'worker-memory' }> };

/**
 * The error for a request of which nothing fits: names what would when another partition does, else the numbers and the remedies.
 * `wanted` are the estimates that the request allows, all of them refused; `all` are those of every partition.
 */
export function planImpossible(
  request: PlanRequest,
  wanted: readonly Estimate[],
  all: readonly Estimate[],
): OperatingError {
  const refused = wanted.flatMap((estimate) => (estimate.refusal === null ? [] : [estimate]));
  assert(refused.length > 0 && refused.length === wanted.length, 'every wanted candidate is refused');
  const fitting = [
    ...new Set(
      all.flatMap((estimate) => (estimate.refusal === null ? [formatPartition(estimate.partition)] : [])),
    ),
  ];
  const first = refused[0];
  if (fitting.length > 0) {
    const text = withPartition(first);
    return impossible(
      `${text}; expected a partition that fits, here ${fitting.join(' or ')}; ask for that one or for auto`,
    );
  }
  const short = refused
    .filter(isMemoryRefused)
    .sort((a, b) => Number(isGrid(a)) - Number(isGrid(b)) || needs(a) - needs(b))[0];
  if (short !== undefined) return impossible(shortOfMemory(request, short));
  const coordinator = refused.find(({ refusal }) => refusal.reason === 'coordinator-memory');
  if (coordinator !== undefined) {
    const remedy =
      request.keys === 'workers'
        ? 'use a coordinator with more memory'
        : 'use a coordinator with more memory, or --keys workers';
    return impossible(
      `${withPartition(coordinator)}; expected dense weights, shuffles and its keys to fit there; ${remedy}`,
    );
  }
  const reasons = [...new Set(refused.map(({ refusal }) => refusal.text))].join(', ');
  return impossible(
    `${reasons}; expected one worker per part, with at least one row and column each; start another number of workers`,
  );
}

function shortOfMemory(request: PlanRequest, refused: MemoryRefused): string {
  const need = needs(refused);
  const remedies = [`raise --memory to ${formatBytes(need)} (${need} bytes)`];
  const count = isGrid(refused) ? null : workersNeeded(request, refused);
  const largest = Math.max(...request.workers.map((worker) => worker.capacityBytes));
  if (count !== null) remedies.unshift(`add workers of ${formatBytes(largest)}: at least ${count} in all`);
  const numbered = remedies.map((remedy, i) => (remedies.length === 1 ? remedy : `(${i + 1}) ${remedy}`));
  return `${withPartition(refused)}; expected every slice to fit on its worker; ${numbered.join(', or ')}`;
}

/** How many workers there would have to be, were more like the largest added: tried, not only computed. Null where that is no way out. */
function workersNeeded(request: PlanRequest, { partition, keys, refusal }: MemoryRefused): number | null {
  const { workers } = request;
  const largest = Math.max(...workers.map((worker) => worker.capacityBytes));
  const missing = sum(refusal.workerBytes) - sum(workers.map((worker) => worker.capacityBytes));
  const first = Math.max(1, Math.ceil(missing / largest));
  // Whole rows and columns can leave a proportional cut a little too large for one worker more; two more are then enough or nothing is.
  for (let added = first; added <= first + 2 && workers.length + added <= WORKERS_TRIED_MAX; added++) {
    const more = Array.from({ length: added }, (_, i) => ({ id: `added ${i}`, capacityBytes: largest }));
    const { estimate } = rateCandidate({ ...request, workers: [...workers, ...more] }, { partition, keys });
    if (estimate.refusal === null || estimate.refusal.reason === 'coordinator-memory')
      return workers.length + added;
  }
  return null;
}

/** Nobody starts that many to mend an error, and trying costs time for each of them. */
const WORKERS_TRIED_MAX = 4096;

function withPartition({ partition, keys, refusal }: Refused): string {
  return refusal.reason === 'shape'
    ? refusal.text
    : `${formatPartition(partition)} with keys ${keys} ${refusal.text}`;
}

/** More workers make another grid, so that is no remedy for one; the others are the better ones to report. */
function isGrid({ partition }: Refused): boolean {
  return partition.kind === 'grid';
}

function isMemoryRefused(estimate: Refused): estimate is MemoryRefused {
  return estimate.refusal.reason === 'worker-memory';
}

function needs({ refusal }: MemoryRefused): number {
  return Math.max(...refusal.workerBytes);
}

function impossible(message: string): OperatingError {
  return new OperatingError('PLAN_IMPOSSIBLE', message);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
