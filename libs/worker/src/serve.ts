import { OperatingError } from '@ultramem/invariant';
import type { Kernels } from '@ultramem/kernels';
import { codedError, MESSAGE_BYTES_MAX, type MessageOfKind, type PooledEncoding } from '@ultramem/protocol';
import { queryGroupOfHead, rangeLength, SIDES } from '@ultramem/ultramem';
import type { ResidentShard } from './resident-shard.ts';

/** The best keys of this shard's key rows for each token, head and side. */
export async function serveScore(
  shard: ResidentShard,
  kernels: Kernels,
  message: MessageOfKind<'score'>,
): Promise<Answer<MessageOfKind<'candidates'>>> {
  const { geometry } = shard;
  const { keys, collapse } = layerOf(shard, message.layer);
  if (keys === null)
    throw mismatch('a score request', 'this worker holds no keys', 'requests for what it was assigned');
  if (
    message.groupCount !== geometry.queryGroupUsed ||
    message.query.length !== message.tokenCount * message.groupCount * 2 * geometry.keyWidth
  )
    throw mismatch(
      'a score request',
      `its query has ${message.query.length} numbers in ${message.groupCount} groups`,
      `[${message.tokenCount}, ${geometry.queryGroupUsed}, 2, ${geometry.keyWidth}]`,
    );
  const perSide = Math.min(message.topK, rangeLength(keys.range));
  checkAnswer(message.tokenCount * geometry.headCount * SIDES * perSide * (4 + 4 * geometry.rank));
  const found = await kernels.scoreKeys(keys, {
    query: message.query,
    tokenCount: message.tokenCount,
    groupCount: message.groupCount,
    groupOfHead: Uint32Array.from({ length: geometry.headCount }, (_, head) =>
      queryGroupOfHead(geometry, head),
    ),
    collapse,
    k: message.topK,
  });
  return { kind: 'candidates', ...found };
}

/** Partial dot products of pre-value rows with this shard's columns of the query (partitions that cut columns). */
export async function servePrescore(
  shard: ResidentShard,
  kernels: Kernels,
  message: MessageOfKind<'prescore'>,
): Promise<Answer<MessageOfKind<'dots'>>> {
  const { pre } = layerOf(shard, message.layer);
  if (pre === null)
    throw mismatch(
      'a prescore request',
      'this worker holds no pre-values',
      'requests for what this worker was assigned',
    );
  const width = pre.columns.end - pre.columns.start;
  if (message.query.length !== message.tokenCount * width)
    throw mismatch(
      'a prescore request',
      `its query has ${message.query.length} numbers`,
      `[${message.tokenCount}, ${width}]`,
    );
  const { tokenCount, entryStart, slot, query } = message;
  return { kind: 'dots', dots: await kernels.dotRows(pre, { tokenCount, entryStart, slot, query }) };
}

/** Gathers, weights and sums this shard's rows (or its columns of them); one partial vector per token and block. */
export async function servePool(
  shard: ResidentShard,
  kernels: Kernels,
  message: MessageOfKind<'pool'>,
): Promise<Answer<MessageOfKind<'pooled'>>> {
  const { geometry } = shard;
  const { values, pre } = layerOf(shard, message.layer);
  if (values === null)
    throw mismatch('a pool request', 'this worker holds no values', 'requests for what it was assigned');
  if (message.coreCount !== geometry.coreCount || message.blockCount !== geometry.poolBlocks)
    throw mismatch(
      'a pool request',
      `it has ${message.coreCount} cores and ${message.blockCount} blocks`,
      `${geometry.coreCount} and ${geometry.poolBlocks}`,
    );
  const gated = message.preQuery.length > 0;
  const wholeRows = pre !== null && pre.columns.end - pre.columns.start === geometry.preWidth;
  if (gated && (!wholeRows || message.preQuery.length !== message.tokenCount * geometry.preWidth))
    throw mismatch(
      'a pool request',
      `its pre-query has ${message.preQuery.length} numbers`,
      `[${message.tokenCount}, ${geometry.preWidth}] on a worker with whole rows`,
    );
  checkAnswer(message.tokenCount * geometry.poolBlocks * rangeLength(values.columns) * 4);
  const pooled = await kernels.pool(values, {
    tokenCount: message.tokenCount,
    entryStart: message.entryStart,
    slot: message.slot,
    block: message.block,
    blockCount: message.blockCount,
    weight: message.weight,
    coreCount: message.coreCount,
    pre:
      gated && pre !== null ? { table: pre, query: message.preQuery, activation: message.activation } : null,
  });
  return encoded(kernels, pooled, rangeLength(values.columns), message.encoding);
}

/** Plain where nothing else was asked for, and where int8 has no place for a number. */
async function encoded(
  kernels: Kernels,
  pooled: Float32Array,
  width: number,
  encoding: PooledEncoding,
): Promise<Answer<MessageOfKind<'pooled'>>> {
  const packed = encoding === 'f32' ? null : await kernels.packVectors(pooled, width, encoding);
  return packed === null
    ? { kind: 'pooled', encoding: 'f32', pooled, packed: new Uint8Array(0) }
    : { kind: 'pooled', encoding, pooled: new Float32Array(0), packed };
}

/** Before anything is computed: what no message holds need not fit the memory either. */
function checkAnswer(byteCount: number): void {
  if (byteCount > MESSAGE_BYTES_MAX)
    throw codedError(
      'MESSAGE_TOO_LARGE',
      `the answer would have ${byteCount} bytes; expected at most ${MESSAGE_BYTES_MAX}; ask for fewer tokens at a time`,
    );
}

type Answer<M> = Omit<M, 'id' | 'computeMs'>;

function layerOf(shard: ResidentShard, layer: number): ResidentShard['tables']['layers'][number] {
  const held = shard.tables.layers[layer];
  if (held === undefined)
    throw mismatch(
      'a request',
      `it asks for memory layer ${layer}`,
      `0 to ${shard.tables.layers.length - 1}`,
    );
  return held;
}

function mismatch(what: string, wrong: string, expected: string): OperatingError {
  return new OperatingError(
    'UNEXPECTED_MESSAGE',
    `${what} does not fit the assigned shard: ${wrong}; expected ${expected}; use the same checkpoint and version everywhere`,
  );
}
