import { assertGrid, emptySelection, type GridRequest, type Kernels } from '@ultramem/kernels';
import { comesBefore, type Selection, SIDES } from '@ultramem/ultramem';
import type { Binding } from './binding.ts';
import { type DeviceGrid, deviceGrid } from './device-grid.ts';
import { type GridHead, gridHead, largestCandidate } from './grid-head.ts';
import { HostGrid } from './host-grid.ts';

/** From this many places on the device chooses; a single grid is smaller than its way there. */
const DEVICE_PLACES = 1e5;
/** Places that one call holds in f64: 64 MB. */
const PLACES_MAX = 8e6;

/**
 * The best k of every k x k grid (SEMANTICS 4.4), equal to the reference's to the last bit. All places are scored with the
 * sum of the cores; what comes within rounding of the best k is scored again core by core, in the order of the reference.
 *
 * @param reference for Memory+, whose grid has one addition a place, and for numbers that are not finite
 * @throws OperatingError NON_FINITE_SCORE when a grid score is NaN
 */
export async function selectGrid(
  binding: Binding,
  breathe: () => Promise<void>,
  reference: Kernels['selectGrid'],
  request: GridRequest,
): Promise<Selection> {
  const { candidates, headCount, rank, cores, coreCount } = request;
  const { tokenCount, perSide: k } = candidates;
  if (cores === null) return reference(request);
  assertGrid(request);
  const selection = emptySelection(tokenCount, headCount * k, coreCount);
  const heads = Array.from({ length: headCount }, (_, head) => gridHead(request, cores, head));
  const host = new HostGrid(k, rank);
  const step = Math.max(1, Math.floor(PLACES_MAX / Math.max(1, headCount * k * k)));
  for (let first = 0; first < tokenCount; first += step) {
    if (first > 0) await breathe();
    const count = Math.min(step, tokenCount - first);
    const onDevice = count * headCount * k * k >= DEVICE_PLACES;
    const device = onDevice ? deviceGrid(binding, request, heads, first, count) : null;
    for (let i = 0; i < count * headCount; i++) {
      const list = first * headCount + i;
      const { rows, columns, bound } = sidesOf(request, heads[i % headCount], list);
      if (!Number.isFinite(bound)) return reference(request);
      if (device?.isExact(i, bound)) copyWinners(request, device, i, list, selection);
      else winOnHost(request, heads[i % headCount], host, { list, rows, columns, bound }, selection);
    }
  }
  return selection;
}

/** Refined scores of the candidates of one token and head. */
interface Sides {
  list: number;
  rows: Float32Array; // [k, rank]
  columns: Float32Array; // [k, rank]
  /** How far a score with the summed cores, in any order, may lie from the reference's; not finite where numbers are not. */
  bound: number;
}

function sidesOf(request: GridRequest, head: GridHead, list: number): Sides {
  const { perSide: k, refined } = request.candidates;
  const { rank, coreCount } = request;
  const rowAt = list * SIDES * k * rank;
  const rows = refined.subarray(rowAt, rowAt + k * rank);
  const columns = refined.subarray(rowAt + k * rank, rowAt + 2 * k * rank);
  const size = head.magnitude * largestCandidate(rows, rank) * largestCandidate(columns, rank);
  return { list, rows, columns, bound: 2 ** -51 * (coreCount + 2 * rank + 6) * size };
}

function copyWinners(
  request: GridRequest,
  device: DeviceGrid,
  row: number,
  list: number,
  into: Selection,
): void {
  const { coreCount } = request;
  const k = request.candidates.perSide;
  const from = row * device.perRow;
  for (let j = 0; j < k; j++) {
    const entry = list * k + j;
    into.virtualIndex[entry] = virtualIndex(request, list, device.place[from + j]);
    into.rankScore[entry] = device.total[from + j] + 0; // no -0, which sums that start at 0 do not give
    for (let c = 0; c < coreCount; c++) into.scores[entry * coreCount + c] = device.scores[c][from + j] + 0;
  }
}

function winOnHost(
  request: GridRequest,
  head: GridHead,
  host: HostGrid,
  { list, rows, columns, bound }: Sides,
  into: Selection,
): void {
  const { coreCount } = request;
  const k = request.candidates.perSide;
  const places = host.places(rows, columns, head.summed, 2 * bound);
  const { total, scores, best } = rankPlaces(head, rows, columns, places, k);
  for (let j = 0; j < k; j++) {
    const entry = list * k + j;
    into.virtualIndex[entry] = virtualIndex(request, list, places[best[j]]);
    into.rankScore[entry] = total[best[j]];
    for (let c = 0; c < coreCount; c++) into.scores[entry * coreCount + c] = scores[best[j] * coreCount + c];
  }
}

function virtualIndex(
  { candidates: { perSide: k, index }, keyCount }: GridRequest,
  list: number,
  place: number,
): number {
  const rowAt = list * SIDES * k;
  return index[rowAt + Math.floor(place / k)] * keyCount + index[rowAt + k + (place % k)];
}

/**
 * Scores places core by core, `Σ_s (Σ_r row_r core_rs) column_s`, and finds the best k of them.
 *
 * @param place at least k, numbered row by row
 */
function rankPlaces(
  { perCore, rank }: GridHead,
  rows: Float32Array,
  columns: Float32Array,
  place: ArrayLike<number>,
  k: number,
) {
  const coreCount = perCore.length;
  const total = new Float64Array(place.length);
  const scores = new Float64Array(place.length * coreCount);
  const best = new Uint32Array(k);
  for (let i = 0; i < place.length; i++) {
    const [rowAt, columnAt] = [Math.floor(place[i] / k) * rank, (place[i] % k) * rank];
    for (let c = 0; c < coreCount; c++) {
      const core = perCore[c];
      let score = 0;
      for (let s = 0; s < rank; s++) {
        let bent = 0;
        for (let r = 0; r < rank; r++) bent += rows[rowAt + r] * core[r * rank + s];
        score += bent * columns[columnAt + s];
      }
      scores[i * coreCount + c] = score;
      total[i] += score;
    }
    let at = Math.min(i, k);
    for (; at > 0 && comesBefore(total[i], place[i], total[best[at - 1]], place[best[at - 1]]); at--)
      if (at < k) best[at] = best[at - 1];
    if (at < k) best[at] = i;
  }
  return { total, scores, best };
}
