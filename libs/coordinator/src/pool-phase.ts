import type { LookupRequest } from '@ultramem/inference';
import { present } from '@ultramem/invariant';
import { gateWeights } from '@ultramem/kernels';
import { type MemoryGeometry, rangeLength, type Selection, type ValueAddresses } from '@ultramem/ultramem';
import { fanOut } from './fan-out.ts';
import type { LookupCall } from './lookup-call.ts';
import { mergeDots } from './merge-dots.ts';
import { mergePartials, type Partial } from './merge-partials.ts';
import { gatherRows, type RoutedEntries, routeEntries } from './route.ts';
import { askShard, misfit, type ShardLink } from './shard-link.ts';

/**
 * Pooled vectors `[tokenCount, poolBlocks, valueWidth]` from the owners of the selected slots. With v2's pre-values, owners of
 * whole rows gate the weights themselves (one round trip); where columns are cut, partial dot products are merged first.
 */
export async function poolOnWorkers(
  call: LookupCall,
  request: LookupRequest,
  geometry: MemoryGeometry,
  chosen: { selection: Selection; addresses: ValueAddresses },
): Promise<Float32Array> {
  const { tokenCount } = request;
  const slices = call.table.links.map((link) => link.slice);
  const groups = routeEntries(slices, chosen.addresses, tokenCount)
    .filter((routed) => routed.token.length > 0)
    .map((routed) => ({ routed, entries: pickEntries(routed, geometry, chosen) }));
  const wholeRows =
    geometry.preWidth > 0 && slices.every(({ preColumns }) => rangeLength(preColumns) === geometry.preWidth);
  if (geometry.preWidth > 0 && !wholeRows) {
    const startMs = call.clock.nowMs();
    const dots = await fanOut(groups.map((group) => () => prescore(call, request, geometry, group)));
    groups.forEach(({ entries }, i) => {
      entries.weight = gateWeights(dots[i], entries.weight, geometry.coreCount, geometry.preActivation);
    });
    call.traffic.phase('prescore', call.clock.nowMs() - startMs);
  }
  const startMs = call.clock.nowMs();
  const parts = await fanOut(
    groups.flatMap(({ routed, entries }) =>
      routed.shards.map(({ shard }) => async (signal): Promise<Partial> => {
        const link = call.table.links[shard];
        const { columns, preColumns } = link.slice;
        const preQuery = wholeRows
          ? gatherRows(
              present(request.preQuery, 'models with pre-values have a pre-query'),
              geometry.preWidth,
              routed.token,
              preColumns,
            )
          : new Float32Array(0);
        const body = {
          kind: 'pool',
          epoch: link.epoch,
          layer: request.layer,
          tokenCount: routed.token.length,
          blockCount: geometry.poolBlocks,
          coreCount: geometry.coreCount,
          activation: geometry.preActivation,
          entryStart: routed.entryStart,
          ...entries,
          preQuery,
        } as const;
        const { pooled } = await askShard(link, body, { ...call, signal });
        const count = routed.token.length * geometry.poolBlocks * rangeLength(columns);
        if (pooled.length !== count) throw misfit(link, 'pool', pooled.length, count);
        const { entryStart, slot, block, weight } = body;
        call.traffic.count(
          link,
          entryStart.byteLength +
            slot.byteLength +
            block.byteLength +
            weight.byteLength +
            preQuery.byteLength,
          pooled.byteLength,
          slot.length,
        );
        return { token: routed.token, columns, pooled };
      }),
    ),
  );
  call.traffic.phase('pool', call.clock.nowMs() - startMs);
  // In the order of the groups, which is row order, whatever order the answers came in.
  return mergePartials(parts, { tokenCount, blockCount: geometry.poolBlocks, width: geometry.valueWidth });
}

interface Entries {
  slot: Uint32Array;
  block: Uint8Array;
  weight: Float32Array; // [entries, coreCount]
}

function pickEntries(
  routed: RoutedEntries,
  geometry: MemoryGeometry,
  chosen: { selection: Selection; addresses: ValueAddresses },
): Entries {
  const { coreCount } = geometry;
  const { selection, addresses } = chosen;
  return {
    slot: routed.entry.map((i) => addresses.slot[i]),
    block: Uint8Array.from(routed.entry, (i) => addresses.block[i]),
    weight: gatherRows(selection.scores, coreCount, routed.entry, { start: 0, end: coreCount }),
  };
}

/** Complete pre-scores `[entries]` of one row group: each column range's part, added in column order. */
async function prescore(
  call: LookupCall,
  request: LookupRequest,
  geometry: MemoryGeometry,
  group: { routed: RoutedEntries; entries: Entries },
): Promise<Float64Array> {
  const { routed, entries } = group;
  const links = routed.shards
    .map(({ shard }) => call.table.links[shard])
    .filter(({ slice }) => rangeLength(slice.preColumns) > 0);
  const parts = await fanOut(
    links.map((link: ShardLink) => async (signal) => {
      const query = gatherRows(
        present(request.preQuery, 'models with pre-values have a pre-query'),
        geometry.preWidth,
        routed.token,
        link.slice.preColumns,
      );
      const { entryStart } = routed;
      const body = {
        kind: 'prescore',
        epoch: link.epoch,
        layer: request.layer,
        tokenCount: routed.token.length,
        entryStart,
        slot: entries.slot,
        query,
      } as const;
      const { dots } = await askShard(link, body, { ...call, signal });
      if (dots.length !== entries.slot.length)
        throw misfit(link, 'prescore', dots.length, entries.slot.length);
      call.traffic.count(
        link,
        entryStart.byteLength + entries.slot.byteLength + query.byteLength,
        dots.byteLength,
      );
      return dots;
    }),
  );
  return mergeDots(parts);
}
