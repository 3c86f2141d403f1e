import type { LookupRequest } from '@ultramem/inference';
import { present } from '@ultramem/invariant';
import { codedError } from '@ultramem/protocol';
import {
  type Candidates,
  type CollapseVectors,
  type MemoryGeometry,
  mergeCandidates,
  rangeLength,
  SIDES,
} from '@ultramem/ultramem';
import { fanOut } from './fan-out.ts';
import type { LookupCall } from './lookup-call.ts';
import { askShard, misfit, type ShardLink } from './shard-link.ts';

/** Best keys of the whole axes, scored where the keys are: every worker its rows, then an exact merge. */
export async function scoreOnWorkers(
  call: LookupCall,
  request: LookupRequest,
  geometry: MemoryGeometry,
  collapse: CollapseVectors,
): Promise<Candidates> {
  const { layer, tokenCount, query } = request;
  const links = call.table.links.filter(({ slice }) => slice.keys !== null && rangeLength(slice.keys) > 0);
  const body = {
    kind: 'score',
    layer,
    tokenCount,
    groupCount: geometry.queryGroupUsed,
    topK: geometry.topK,
    query,
  } as const;
  const parts = await fanOut(
    links.map((link) => async (signal) => {
      const answer = await askShard(link, { epoch: link.epoch, ...body }, call, signal);
      call.traffic.count(link, query.byteLength, answer.index.byteLength + answer.refined.byteLength);
      return checked(answer, link, tokenCount, geometry);
    }),
  );
  return mergeCandidates(geometry, collapse, parts);
}

function checked(
  answer: Candidates,
  link: ShardLink,
  tokenCount: number,
  geometry: MemoryGeometry,
): Candidates {
  const { start, end } = present(link.slice.keys, 'only owners of keys are asked');
  const perSide = Math.min(geometry.topK, end - start);
  const count = tokenCount * geometry.headCount * SIDES * perSide;
  if (answer.tokenCount !== tokenCount || answer.perSide !== perSide || answer.index.length !== count)
    throw misfit(link, 'score', answer.index.length, count);
  if (answer.refined.length !== count * geometry.rank)
    throw misfit(link, 'score', answer.refined.length, count * geometry.rank);
  if (!areWithin(answer.index, start, end))
    throw codedError(
      'UNEXPECTED_MESSAGE',
      `worker ${link.workerId} answered with keys outside ${start} to ${end - 1}; expected its own; run the same release everywhere`,
    );
  return answer;
}

function areWithin(keys: Uint32Array, start: number, end: number): boolean {
  for (let i = 0; i < keys.length; i++) if (keys[i] < start || keys[i] >= end) return false;
  return true;
}
