import { assert, OperatingError } from '@ultramem/invariant';
import {
  type Candidate,
  type Estimate,
  enumerateCandidates,
  type Fitting,
  type PlanRequest,
  rateCandidate,
} from './candidate.ts';
import { checkPlan } from './check-plan.ts';
import type { KeysMode } from './keys-mode.ts';
import { formatPartition, type Partition } from './partition.ts';
import { planImpossible } from './plan-impossible.ts';
import type { ShardSlice } from './shard.ts';

/** Who owns what, checked, and everything it was compared with. */
export interface Plan {
  readonly partition: Partition;
  readonly keys: KeysMode;
  readonly slices: readonly ShardSlice[]; // index = shard
  readonly workerIds: readonly string[]; // owner of each shard
  /** Every partition, also those that were not asked for, with figures or with the reason against it. */
  readonly estimates: readonly Estimate[];
  /** One sentence without a full stop. */
  readonly chosenBecause: string;
}

/**
 * Chooses how to cut a model's tables over the given workers: the fastest predicted candidate that fits, among those the request
 * allows. The same request gives the same plan.
 *
 * @throws OperatingError PLAN_IMPOSSIBLE when nothing that the request allows fits, with the numbers and what to do.
 */
export function planPartition(request: PlanRequest): Plan {
  if (request.workers.length === 0)
    throw new OperatingError(
      'PLAN_IMPOSSIBLE',
      'there are no workers; expected at least one; start workers first',
    );
  assert(
    request.workers.every(({ capacityBytes }) => Number.isFinite(capacityBytes) && capacityBytes > 0),
    'every worker has memory',
  );
  const rated = enumerateCandidates(request).map((candidate) => rateCandidate(request, candidate));
  const estimates = rated.map(({ estimate }) => estimate);
  const wanted = estimates.filter((estimate) => isWanted(request, estimate));
  const chosen = wanted
    .flatMap((estimate) => (estimate.refusal === null ? [estimate] : []))
    .reduce<Fitting | null>(faster, null);
  if (chosen === null) throw planImpossible(request, wanted, estimates);
  const sliced = rated.find(({ estimate }) => estimate === chosen)?.sliced ?? null;
  assert(sliced !== null, 'what fits has been sliced');
  const plan: Plan = {
    partition: chosen.partition,
    keys: chosen.keys,
    slices: sliced.slices,
    workerIds: sliced.workers.map((worker) => worker.id),
    estimates,
    chosenBecause: reasonFor(request, chosen, estimates),
  };
  checkPlan(request.geometry, plan);
  return plan;
}

function isWanted(request: PlanRequest, candidate: Candidate): boolean {
  return (
    request.partition === 'auto' ||
    formatPartition(request.partition) === formatPartition(candidate.partition)
  );
}

/** The earlier one when equal, which makes the order of `enumerateCandidates` the last word. */
function faster(best: Fitting | null, estimate: Fitting): Fitting {
  return best === null || slowness(estimate) < slowness(best) ? estimate : best;
}

/** Product of the predicted times, so that twice as fast at one batch size makes up for twice as slow at another. */
function slowness(estimate: Fitting): number {
  return estimate.lookups.reduce((product, lookup) => product * lookup.ms, 1);
}

function reasonFor(request: PlanRequest, chosen: Fitting, estimates: readonly Estimate[]): string {
  const times = chosen.lookups
    .map(({ batch, ms }) => `${ms.toPrecision(3)} ms at batch ${batch}`)
    .join(' and ');
  const others = estimates.flatMap((estimate) =>
    estimate.refusal === null && formatPartition(estimate.partition) !== formatPartition(chosen.partition)
      ? [estimate]
      : [],
  );
  const next = others.reduce<Fitting | null>(faster, null);
  if (request.partition !== 'auto') {
    const better =
      next !== null && slowness(next) < slowness(chosen)
        ? `, though ${formatPartition(next.partition)} is predicted faster`
        : '';
    return `it was asked for (${times})${better}`;
  }
  if (next === null) return `nothing else fits (${times})`;
  const ratio = (slowness(next) / slowness(chosen)) ** (1 / chosen.lookups.length);
  if (ratio < 1.005) return `predicted as fast as any (${times}) and the simplest of the equals`;
  return `lowest predicted time (${times}), ${ratio.toFixed(2)} times as fast as ${formatPartition(next.partition)}`;
}
