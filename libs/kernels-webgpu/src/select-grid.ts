import { assertGrid, emptySelection, type GridRequest } from '@ultramem/kernels';
import { type Selection, SIDES } from '@ultramem/ultramem';
import { bestKeysPipeline, dispatchBestKeys, survivorsMax } from './best-keys.ts';
import type { Gpu } from './gpu.ts';
import { gridFactors, type SummedCores, sumCores } from './grid-factors.ts';
import { dispatchGridScores, gridScoresPipeline } from './grid-scores.ts';
import { createCellRanking } from './rank-cells.ts';

/** Scores of one command list. */
const SCORE_BYTES_MAX = 64 * 2 ** 20;

/**
 * The best k cells of every token's and head's grid, to the last bit as the reference finds them (SEMANTICS 4.4). The device scores all
 * cells about and keeps those that the error bound cannot rule out, about k of k * k; the host evaluates these exactly. Tokens where
 * ties keep too many, or without a bound, go to the host as a whole.
 *
 * @param limits.cellsMin batches with fewer cells in all are not worth the way to the device
 * @param limits.partBytes largest buffer of the device
 * @throws OperatingError NON_FINITE_SCORE when a score is NaN.
 */
export async function selectGrid(
  gpu: Gpu,
  onHost: (request: GridRequest) => Promise<Selection>,
  request: GridRequest,
  limits: { cellsMin: number; partBytes: number },
): Promise<Selection> {
  assertGrid(request);
  const { headCount, coreCount, candidates } = request;
  const { tokenCount, perSide: k } = candidates;
  const cells = headCount * k * k;
  const bytesMax = Math.min(SCORE_BYTES_MAX, limits.partBytes);
  const isSmall = k * k <= survivorsMax(k) || tokenCount * cells < limits.cellsMin;
  if (isSmall || 4 * cells > bytesMax) return onHost(request);
  const selection = emptySelection(tokenCount, headCount * k, coreCount);
  const rank = createCellRanking(request, selection);
  const cores = sumCores(request);
  const tokensPerJob = Math.floor(bytesMax / 4 / cells);
  const left: number[] = [];
  for (let first = 0; first < tokenCount; first += tokensPerJob) {
    const end = Math.min(tokenCount, first + tokensPerJob);
    const survivors = await preselect(gpu, request, cores, { first, end });
    for (let token = first; token < end; token++) {
      const at = (token - first) * headCount;
      const ofToken = survivors.slice(at, at + headCount);
      if (ofToken.every((some) => some !== null))
        for (const [head, some] of ofToken.entries()) rank(token * headCount + head, some);
      else left.push(token);
    }
  }
  if (left.length > 0) putTokens(await onHost(tokensOf(request, left)), left, selection);
  return selection;
}

/**
 * Of each token and head the cells among which the best are for certain, in ascending order; null where the host has to evaluate all.
 */
async function preselect(
  gpu: Gpu,
  request: GridRequest,
  cores: SummedCores | null,
  { first, end }: { first: number; end: number },
): Promise<(Uint32Array | null)[]> {
  const [grid, best] = await Promise.all([gridScoresPipeline(gpu), bestKeysPipeline(gpu)]);
  const k = request.candidates.perSide;
  const capacity = survivorsMax(k);
  const { rank, rows, columns, errorMax } = gridFactors(request, cores, { first, end });
  const lists = errorMax.length;
  const margins = Float32Array.from(errorMax, (error) => (error < 2 ** 100 ? 2 * error : 0));
  const [bytes] = await gpu.job(async (job) => {
    const scores = job.scratch(lists * k * k * 4);
    const survivors = job.scratch(lists * (1 + capacity) * 4);
    dispatchGridScores(job, grid, {
      ...{ rows: job.upload(rows), columns: job.upload(columns) },
      ...{ lists, k, rank, scores },
    });
    const margin = job.upload(margins);
    dispatchBestKeys(job, best, {
      scores,
      margin,
      listCount: lists,
      keyCount: k * k,
      k,
      capacity,
      survivors,
    });
    return job.read([survivors]);
  });
  const words = new Uint32Array(bytes);
  return Array.from(errorMax, (error, list) => {
    const at = list * (1 + capacity);
    const count = words[at];
    return error < 2 ** 100 && count <= capacity ? words.subarray(at + 1, at + 1 + count).sort() : null;
  });
}

/** The same request for some of its tokens. */
function tokensOf(request: GridRequest, tokens: readonly number[]): GridRequest {
  const { candidates, headCount, rank } = request;
  const { perSide, index, refined } = candidates;
  const size = headCount * SIDES * perSide;
  const some = {
    ...{ tokenCount: tokens.length, perSide },
    index: new Uint32Array(tokens.length * size),
    refined: new Float32Array(tokens.length * size * rank),
  };
  tokens.forEach((token, i) => {
    some.index.set(index.subarray(token * size, (token + 1) * size), i * size);
    some.refined.set(refined.subarray(token * size * rank, (token + 1) * size * rank), i * size * rank);
  });
  return { ...request, candidates: some };
}

/** Writes the selection of some tokens into that of all. */
function putTokens(from: Selection, tokens: readonly number[], into: Selection): void {
  const { perToken } = into;
  const perScore = into.scores.length / Math.max(1, into.tokenCount);
  tokens.forEach((token, i) => {
    into.virtualIndex.set(from.virtualIndex.subarray(i * perToken, (i + 1) * perToken), token * perToken);
    into.rankScore.set(from.rankScore.subarray(i * perToken, (i + 1) * perToken), token * perToken);
    into.scores.set(from.scores.subarray(i * perScore, (i + 1) * perScore), token * perScore);
  });
}
