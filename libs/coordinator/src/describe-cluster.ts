import type { Member } from '@ultramem/membership';
import { formatPartition } from '@ultramem/planner';
import type { MessageOfKind } from '@ultramem/protocol';
import type { Cluster } from './cluster.ts';
import type { CoordinatorOptions } from './coordinator-options.ts';
import type { Statistics } from './statistics.ts';

export type ClusterStatus = Omit<MessageOfKind<'cluster-status'>, 'id'>;

/** What `status` shows, from the coordinator's own view and the workers' last pulses. */
export function describeCluster(
  cluster: Cluster,
  options: CoordinatorOptions,
  statistics: Statistics,
  uptimeMs: number,
): ClusterStatus {
  const { plan, view } = cluster;
  const loopDelay = options.loopDelay?.() ?? null;
  return {
    kind: 'cluster-status',
    cluster: {
      clusterId: options.clusterId,
      software: options.software,
      model: options.checkpoint.name,
      fingerprint: options.checkpoint.fingerprint,
      backend: options.kernels.backend,
      activations: options.activations === 'BF16' ? 'bf16' : 'f32',
      uptimeMs,
      lookups: statistics.lookups,
      hiddenFraction: statistics.hiddenFraction,
      processBytes: options.processBytes(),
      loopDelayP99Ms: loopDelay?.p99Ms ?? null,
      loopDelayMaxMs: loopDelay?.maxMs ?? null,
      state: cluster.state,
      epoch: view.epoch,
      partition: plan === null ? '' : formatPartition(plan.partition),
      keys: plan?.keys ?? '',
      shardCount: plan?.slices.length ?? 0,
      lookupP50Ms: statistics.lookupLatency.percentileMs(50),
      lookupP99Ms: statistics.lookupLatency.percentileMs(99),
    },
    workers: [...view.members].sort(byShard).map(({ workerId, peerName, state, shard, capacityBytes }) => {
      const { pulse, channel, latency, silentMs, bytesPerSecond, pooledAs } = cluster.contactOf(workerId);
      const slice = shard === null || plan === null ? null : plan.slices[shard];
      return {
        workerId,
        peerName,
        state,
        shard,
        rows: slice?.rows ?? null,
        columns: slice?.columns ?? null,
        keys: slice?.keys ?? null,
        capacityBytes,
        residentBytes: pulse?.residentBytes ?? 0,
        processBytes: pulse?.processBytes ?? 0,
        lookups: pulse?.lookups ?? 0,
        rowsRead: pulse?.rowsRead ?? 0,
        sentBytes: channel.sentBytes,
        receivedBytes: channel.receivedBytes,
        linkBytesPerSecond: bytesPerSecond,
        pooledAs,
        p50Ms: latency.percentileMs(50),
        p99Ms: latency.percentileMs(99),
        silentMs,
        loopDelayP99Ms: pulse?.loopDelayP99Ms ?? null,
        loopDelayMaxMs: pulse?.loopDelayMaxMs ?? null,
      };
    }),
  };
}

/** In shard order, those on standby last, so that a table reads like the memory and stands still. */
function byShard(a: Member, b: Member): number {
  return (a.shard ?? Number.MAX_SAFE_INTEGER) - (b.shard ?? Number.MAX_SAFE_INTEGER);
}
