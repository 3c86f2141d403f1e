import type { LookupRequest } from '@ultramem/inference';
import { present } from '@ultramem/invariant';
import { gateWeights, type Kernels, type PooledPart } from '@ultramem/kernels';
import { type AnswerTo, codedError } from '@ultramem/protocol';
import type { CancelSignal } from '@ultramem/transport';
import { type MemoryGeometry, rangeLength, type Selection, type ValueAddresses } from '@ultramem/ultramem';
import { fanOut } from './fan-out.ts';
import type { LookupCall } from './lookup-call.ts';
import { mergeDots } from './merge-dots.ts';
import { gatherRows, type RoutedEntries, routeEntries } from './route.ts';
import { askShard, misfit, type ShardLink } from './shard-link.ts';

/** One lookup's pooling: what all its requests share. */
interface Pooling {
  kernels: Kernels;
  call: LookupCall;
  request: LookupRequest;
  geometry: MemoryGeometry;
  /** v2, and every shard holds whole rows of pre-values: owners gate the weights themselves. */
  gatedByOwners: boolean;
}

/**
 * Pooled vectors `[tokenCount, poolBlocks, valueWidth]` from the owners of the selected slots. With v2's pre-values, owners of
 * whole rows gate the weights themselves (one round trip); where columns are cut, partial dot products are merged first. Row
 * groups do not wait for one another.
 */
export async function poolOnWorkers(
  kernels: Kernels,
  call: LookupCall,
  request: LookupRequest,
  geometry: MemoryGeometry,
  chosen: { selection: Selection; addresses: ValueAddresses },
): Promise<Float32Array> {
  const { clock, table, traffic } = call;
  const { tokenCount } = request;
  const { slot, block } = chosen.addresses;
  const winners = { slot, block, weight: chosen.selection.scores, coreCount: geometry.coreCount };
  const startMs = clock.nowMs();
  const groups = routeEntries(table.rowGroups, winners, tokenCount).filter(({ token }) => token.length > 0);
  const routedMs = clock.nowMs();
  traffic.phase('route', routedMs - startMs);
  const { preWidth } = geometry;
  const isGated = preWidth > 0;
  const gatedByOwners =
    isGated && table.links.every(({ slice }) => rangeLength(slice.preColumns) === preWidth);
  const pooling: Pooling = { kernels, call, request, geometry, gatedByOwners };
  let gatedMs = routedMs;
  const parts = await fanOut(
    groups.map((group) => async (signal) => {
      if (!isGated || gatedByOwners) return poolGroup(pooling, group, group.weight, signal);
      const dots = await prescoreGroup(pooling, group, signal);
      const weight = gateWeights(dots, group.weight, geometry.coreCount, geometry.preActivation);
      gatedMs = clock.nowMs();
      return poolGroup(pooling, group, weight, signal);
    }),
  );
  if (gatedMs > routedMs) traffic.phase('prescore', gatedMs - routedMs);
  const pooledMs = clock.nowMs();
  traffic.phase('pool', pooledMs - gatedMs);
  // In the order of the groups, which is row order, whatever order the answers came in.
  const size = { tokenCount, blockCount: geometry.poolBlocks, width: geometry.valueWidth };
  const pooled = await kernels.mergePartials(parts.flat(), size);
  traffic.phase('merge', clock.nowMs() - pooledMs);
  return pooled;
}

/** What each column range of one row group pooled. */
function poolGroup(
  { kernels, call, request, geometry, gatedByOwners }: Pooling,
  { shards, token, entryStart, slot, block }: RoutedEntries,
  weight: Float32Array,
  signal: CancelSignal,
): Promise<PooledPart[]> {
  const ask = async (shard: number, within: CancelSignal): Promise<PooledPart> => {
    const link = call.table.links[shard];
    const { columns, preColumns } = link.slice;
    const preQuery = gatedByOwners
      ? gatherRows(preQueryOf(request), geometry.preWidth, token, preColumns)
      : new Float32Array(0);
    const body = {
      kind: 'pool',
      epoch: link.epoch,
      layer: request.layer,
      tokenCount: token.length,
      blockCount: geometry.poolBlocks,
      coreCount: geometry.coreCount,
      activation: geometry.preActivation,
      encoding: link.pooledAs,
      entryStart,
      slot,
      block,
      weight,
      preQuery,
    } as const;
    const answer = await askShard(link, body, call, within);
    const width = rangeLength(columns);
    const pooled = await decoded(kernels, link, answer, token.length * geometry.poolBlocks * width, width);
    const sentBytes =
      entryStart.byteLength + slot.byteLength + block.byteLength + weight.byteLength + preQuery.byteLength;
    const receivedBytes = answer.pooled.byteLength + answer.packed.byteLength;
    call.traffic.count(link, sentBytes, receivedBytes, slot.length);
    return { token, columns, pooled };
  };
  return fanOut(
    shards.map(
      ({ shard }) =>
        (within) =>
          ask(shard, within),
    ),
    signal,
  );
}

/** The `count` pooled numbers of an answer, whatever they travelled as. */
async function decoded(
  kernels: Kernels,
  link: ShardLink,
  { encoding, pooled, packed }: AnswerTo<'pool'>,
  count: number,
  width: number,
): Promise<Float32Array> {
  if (encoding === 'f32') {
    if (pooled.length !== count) throw misfit(link, 'pool', pooled.length, count);
    return pooled;
  }
  const values =
    encoding === link.pooledAs ? await kernels.unpackVectors(packed, count, width, encoding) : null;
  if (values === null)
    throw codedError(
      'UNEXPECTED_MESSAGE',
      `worker ${link.workerId} answered pool with ${packed.length} bytes of ${encoding}; expected ${count} numbers in ${link.pooledAs}; run the same release everywhere`,
    );
  return values;
}

/** Complete pre-scores `[entries]` of one row group: each column range's part, added in column order. */
async function prescoreGroup(
  { call, request, geometry }: Pooling,
  { shards, token, entryStart, slot }: RoutedEntries,
  signal: CancelSignal,
): Promise<Float64Array> {
  const links = shards
    .map(({ shard }) => call.table.links[shard])
    .filter(({ slice }) => rangeLength(slice.preColumns) > 0);
  const parts = await fanOut(
    links.map((link) => async (within) => {
      const { epoch, slice } = link;
      const query = gatherRows(preQueryOf(request), geometry.preWidth, token, slice.preColumns);
      const { layer } = request;
      const body = {
        kind: 'prescore',
        epoch,
        layer,
        tokenCount: token.length,
        entryStart,
        slot,
        query,
      } as const;
      const { dots } = await askShard(link, body, call, within);
      if (dots.length !== slot.length) throw misfit(link, 'prescore', dots.length, slot.length);
      call.traffic.count(link, entryStart.byteLength + slot.byteLength + query.byteLength, dots.byteLength);
      return dots;
    }),
    signal,
  );
  return mergeDots(parts);
}

function preQueryOf({ preQuery }: LookupRequest): Float32Array {
  return present(preQuery, 'models with pre-values have a pre-query');
}
