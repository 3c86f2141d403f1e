import { formatBytes } from '@ultramem/planner';
import { errorOfEncoding, type MessageOfKind } from '@ultramem/protocol';
import { printTable } from './print-table.ts';

type Status = Omit<MessageOfKind<'cluster-status'>, 'id'>;

/**
 * The workers of a cluster, one line each. Bytes over the wire are seen from the coordinator: out to the worker, in from it. Late is
 * the event loop: its 99th percentile and its worst, since the start.
 */
export function workerTable(status: Status): string {
  const ms = (value: number | null) => (value === null ? '-' : value.toFixed(2));
  const range = (value: { start: number; end: number } | null) =>
    value === null ? '-' : `${value.start}-${value.end - 1}`;
  return printTable(
    [
      'worker',
      'state',
      'slots',
      'columns',
      'keys',
      'held',
      'process',
      'lookups',
      'rows read',
      'out',
      'in',
      'link',
      'p50 ms',
      'p99 ms',
      'late ms',
    ],
    status.workers.map((worker) => [
      worker.workerId,
      worker.state,
      range(worker.rows),
      range(worker.columns),
      range(worker.keys),
      formatBytes(worker.residentBytes),
      formatBytes(worker.processBytes),
      `${worker.lookups}`,
      `${worker.rowsRead}`,
      formatBytes(worker.sentBytes),
      formatBytes(worker.receivedBytes),
      worker.linkBytesPerSecond === null
        ? '-'
        : `${formatBytes(worker.linkBytesPerSecond)}/s ${worker.pooledAs}`,
      ms(worker.p50Ms),
      ms(worker.p99Ms),
      `${ms(worker.loopDelayP99Ms)} / ${ms(worker.loopDelayMaxMs)}`,
    ]),
  );
}

/** The cluster in a few lines, and its workers. */
export function describeStatus(status: Status): string {
  const { cluster } = status;
  const ms = (value: number | null) => (value === null ? '-' : `${value.toFixed(2)} ms`);
  const share = cluster.hiddenFraction === null ? '-' : `${(100 * cluster.hiddenFraction).toFixed(0)} %`;
  const rounding = cluster.activations === 'f32' ? '' : `, activations in ${cluster.activations}`;
  return [
    `${cluster.clusterId}  ${cluster.state}, epoch ${cluster.epoch}, up ${(cluster.uptimeMs / 1000).toFixed(0)} s, ${cluster.software}, ${cluster.backend} kernels${rounding}`,
    `model ${cluster.model} (${cluster.fingerprint})`,
    `partition ${cluster.partition || 'not planned yet'}, keys ${cluster.keys || '-'}, ${cluster.shardCount} shards, coordinator process ${formatBytes(cluster.processBytes)}`,
    `lookups ${cluster.lookups}, p50 ${ms(cluster.lookupP50Ms)}, p99 ${ms(cluster.lookupP99Ms)}, hidden behind computing ${share}`,
    `event loop late by p99 ${ms(cluster.loopDelayP99Ms)}, at most ${ms(cluster.loopDelayMaxMs)}`,
    '',
    workerTable(status),
    '',
    ...roundingLines(status),
    ...constantLine(status),
  ].join('\n');
}

/** Which workers' vectors arrive rounded, and by how much. */
function roundingLines({ workers }: Status): string[] {
  return (['bf16', 'int8'] as const).flatMap((encoding) => {
    const count = workers.filter(({ pooledAs }) => pooledAs === encoding).length;
    return count === 0
      ? []
      : [
          `pooled vectors of ${count} of ${workers.length} workers travel as ${encoding}: each number ${errorOfEncoding(encoding)}`,
        ];
  });
}

/** What a worker process holds beside its slice: the runtime, code and buffers. */
function constantLine({ workers }: Status): string[] {
  const constants = workers
    .filter(({ residentBytes }) => residentBytes > 0)
    .map(({ processBytes, residentBytes }) => processBytes - residentBytes);
  if (constants.length === 0) return [];
  return [
    `a worker process takes ${formatBytes(Math.min(...constants))} to ${formatBytes(Math.max(...constants))} beside its slice`,
  ];
}
