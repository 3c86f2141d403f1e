import { number, wholeNumber } from '@ultramem/command-line';
import { OperatingError } from '@ultramem/invariant';
import { type PlanRequest, parseBytes, parseKeysMode, parsePartition } from '@ultramem/planner';

/** Flags of `plan` as commander gives them. */
export interface PlanFlags {
  model: string;
  workers: string;
  memory?: string;
  partition: string;
  keys: string;
  coordinatorMemory?: string;
  linkRoundTrip?: string;
  linkBandwidth?: string;
  json?: boolean;
}

/** What the flags say; the rest of a plan request comes from the checkpoint. */
export interface PlanWishes extends Pick<PlanRequest, 'workers' | 'partition' | 'keys'> {
  /** Null: refuse nothing there. */
  coordinatorBytesMax: number | null;
  roundTripMs: number | null;
  bytesPerSecond: number | null;
  /** False when no memory was given, which means that any slice fits. */
  memoryIsKnown: boolean;
}

const WORKERS_MAX = 4096;
/** Capacity of a worker of which nothing is said: beyond every table, and sums of it are exact. */
const ANY_BYTES = 2 ** 52;

/** @throws OperatingError USAGE */
export function parsePlanFlags(flags: PlanFlags): PlanWishes {
  const count = wholeNumber('--workers', 1, WORKERS_MAX)(flags.workers);
  const capacities = flags.memory === undefined ? null : parseCapacities(flags.memory, count);
  return {
    workers: Array.from({ length: count }, (_, i) => ({
      id: `worker-${i + 1}`,
      capacityBytes: capacities?.[i] ?? ANY_BYTES,
    })),
    partition: parsePartition(flags.partition),
    keys: parseKeysMode(flags.keys),
    coordinatorBytesMax: flags.coordinatorMemory === undefined ? null : parseBytes(flags.coordinatorMemory),
    roundTripMs:
      flags.linkRoundTrip === undefined
        ? null
        : number('--link-round-trip', 0.000_001, 60_000)(flags.linkRoundTrip),
    bytesPerSecond: flags.linkBandwidth === undefined ? null : parseBandwidth(flags.linkBandwidth),
    memoryIsKnown: capacities !== null,
  };
}

/** One size for all workers, or one for each with commas between. */
function parseCapacities(text: string, count: number): number[] {
  const capacities = text.split(',').map((size) => parseBytes(size.trim()));
  if (capacities.length === 1) return Array.from({ length: count }, () => capacities).flat();
  if (capacities.length !== count)
    throw new OperatingError(
      'USAGE',
      `--memory has ${capacities.length} sizes for ${count} workers; expected one size for all, or one for each with commas between; correct --memory or --workers`,
    );
  return capacities;
}

function parseBandwidth(text: string): number {
  const size = /^(.+)\/s$/.exec(text)?.[1];
  if (size === undefined)
    throw new OperatingError(
      'USAGE',
      `--link-bandwidth is ${JSON.stringify(text)}; expected a size per second; write for example 1.25GB/s`,
    );
  return parseBytes(size);
}
