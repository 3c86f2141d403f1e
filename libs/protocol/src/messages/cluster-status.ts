import { defineMessage } from '../define-message.ts';
import {
  CODE_LENGTH_MAX,
  MODEL_NAME_LENGTH_MAX,
  NAME_LENGTH_MAX,
  SOFTWARE_LENGTH_MAX,
  WORKERS_MAX,
} from '../limits.ts';
import { POOLED_ENCODINGS } from '../pooled-encoding.ts';
import { f64, list, nullable, oneOf, record, text, u32, u64 } from '../schema.ts';

const range = record({ start: u64, end: u64 });

/**
 * Answers `status`.
 *
 * cluster-status => id cluster workers
 *   cluster => clusterId software state epoch model fingerprint backend activations partition keys shardCount uptimeMs
 *              lookups lookupP50Ms lookupP99Ms hiddenFraction processBytes loopDelayP99Ms loopDelayMaxMs
 *     state => 'waiting' | 'loading' | 'ready' | 'degraded'   workers missing at the start, slices on their way, all answer, some lost
 *     activations => 'f32' | 'bf16'                           to which the coordinator rounds what weights stored in bf16 multiply
 *     partition, keys => text                                 as on the command line; '' before the plan
 *     lookups => u64                                          of one memory layer for one batch, since the start
 *     lookupP50Ms, lookupP99Ms => f64 | nil                   of the last 1024
 *     hiddenFraction => f64 | nil                             share of lookup time hidden behind computing, since the start
 *     processBytes => u64                                     resident memory of the coordinator process
 *     loopDelayP99Ms, loopDelayMaxMs => f64 | nil             how late the event loop was, since the start of the process
 *   workers => [workerId peerName state shard rows columns keys capacityBytes residentBytes processBytes lookups rowsRead
 *               sentBytes receivedBytes linkBytesPerSecond pooledAs p50Ms p99Ms silentMs loopDelayP99Ms loopDelayMaxMs]
 *     state => 'standby' | 'loading' | 'ready'
 *     shard, rows, columns => nil on standby; keys => nil also where the coordinator alone holds them
 *     residentBytes => u64                                    of the slice; processBytes less this is the constant of a worker
 *     lookups => u64                                          requests answered; rowsRead => u64 slots gathered
 *     sentBytes, receivedBytes => u64                         to and from the worker, seen from the coordinator
 *     linkBytesPerSecond => f64 | nil                         as measured when it joined, nil on loopback; pooledAs => 'f32' | 'bf16' | 'int8'
 *     p50Ms, p99Ms => f64 | nil                               of its last 1024 requests, sent to answered
 *     silentMs => f64                                         since it was last heard
 *     loopDelayP99Ms, loopDelayMaxMs => f64 | nil             as above, of the worker
 */
export const clusterStatus = defineMessage({
  kind: 'cluster-status',
  head: {
    id: u32,
    cluster: record({
      clusterId: text(NAME_LENGTH_MAX),
      software: text(SOFTWARE_LENGTH_MAX),
      state: oneOf('waiting', 'loading', 'ready', 'degraded'),
      epoch: u32,
      model: text(MODEL_NAME_LENGTH_MAX),
      fingerprint: text(NAME_LENGTH_MAX),
      backend: text(NAME_LENGTH_MAX),
      activations: oneOf('f32', 'bf16'),
      partition: text(CODE_LENGTH_MAX),
      keys: text(CODE_LENGTH_MAX),
      shardCount: u32,
      uptimeMs: f64,
      lookups: u64,
      lookupP50Ms: nullable(f64),
      lookupP99Ms: nullable(f64),
      hiddenFraction: nullable(f64),
      processBytes: u64,
      loopDelayP99Ms: nullable(f64),
      loopDelayMaxMs: nullable(f64),
    }),
    workers: list(
      record({
        workerId: text(NAME_LENGTH_MAX),
        peerName: text(NAME_LENGTH_MAX),
        state: oneOf('standby', 'loading', 'ready'),
        shard: nullable(u32),
        rows: nullable(range),
        columns: nullable(range),
        keys: nullable(range),
        capacityBytes: u64,
        residentBytes: u64,
        processBytes: u64,
        lookups: u64,
        rowsRead: u64,
        sentBytes: u64,
        receivedBytes: u64,
        linkBytesPerSecond: nullable(f64),
        pooledAs: oneOf(...POOLED_ENCODINGS),
        p50Ms: nullable(f64),
        p99Ms: nullable(f64),
        silentMs: f64,
        loopDelayP99Ms: nullable(f64),
        loopDelayMaxMs: nullable(f64),
      }),
      WORKERS_MAX,
    ),
  },
});
