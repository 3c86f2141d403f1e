import { formatPartition } from '@ultramem/planner';
import type { MessageOfKind } from '@ultramem/protocol';
import type { Cluster } from './cluster.ts';
import type { LatencyWindow } from './latency-window.ts';

export type ClusterStatus = Omit<MessageOfKind<'cluster-status'>, 'id'>;

export interface CoordinatorFacts {
  clusterId: string;
  software: string;
  model: string;
  fingerprint: string;
  backend: string;
  uptimeMs: number;
  lookups: number;
  lookupLatency: LatencyWindow;
  /** Of all forward passes so far; null before the first lookup. */
  hiddenFraction: number | null;
  processBytes: number;
}

/** What `status` shows, from the coordinator's own view and the workers' last pulses. */
export function describeCluster(cluster: Cluster, facts: CoordinatorFacts): ClusterStatus {
  const { plan, view } = cluster;
  const { lookupLatency, ...plain } = facts;
  return {
    kind: 'cluster-status',
    cluster: {
      ...plain,
      state: cluster.state,
      epoch: view.epoch,
      partition: plan === null ? '' : formatPartition(plan.partition),
      keys: plan?.keys ?? '',
      shardCount: plan?.slices.length ?? 0,
      lookupP50Ms: lookupLatency.percentileMs(50),
      lookupP99Ms: lookupLatency.percentileMs(99),
    },
    workers: view.members.map(({ workerId, peerName, state, shard, capacityBytes }) => {
      const { pulse, channel, latency, silentMs } = cluster.contactOf(workerId);
      const slice = shard === null || plan === null ? null : plan.slices[shard]!;
      return {
        workerId,
        peerName,
        state,
        shard,
        rows: slice && slice.rows,
        columns: slice && slice.columns,
        keys: slice && slice.keys,
        capacityBytes,
        residentBytes: pulse?.residentBytes ?? 0,
        processBytes: pulse?.processBytes ?? 0,
        lookups: pulse?.lookups ?? 0,
        rowsRead: pulse?.rowsRead ?? 0,
        sentBytes: channel.sentBytes,
        receivedBytes: channel.receivedBytes,
        p50Ms: latency.percentileMs(50),
        p99Ms: latency.percentileMs(99),
        silentMs,
      };
    }),
  };
}
