import { OperatingError } from '@ultramem/invariant';

/**
 * The order of every choice in this project: larger score first, then smaller index. It is total, so that every
 * partition, worker count and backend chooses alike (SEMANTICS 9.1).
 */
export function comesBefore(scoreA: number, indexA: number, scoreB: number, indexB: number): boolean {
  return scoreA > scoreB || (scoreA === scoreB && indexA < indexB);
}

/**
 * Writes the positions of the `k` best of `scores[0 .. count - 1]`, best first, to `into[at ..]`; equal scores are ordered by `tieBreak`
 * (default: position). Insertion into a short sorted list: k is tens, and most scores fail the first comparison.
 *
 * @throws OperatingError NON_FINITE_SCORE when a score is NaN, for which there is no order.
 */
export function topK(
  scores: Float64Array,
  count: number,
  k: number,
  into: Uint32Array,
  at: number,
  tieBreak: (position: number) => number = (position) => position,
): void {
  let held = 0;
  for (let position = 0; position < count; position++) {
    const score = scores[position];
    if (Number.isNaN(score))
      throw new OperatingError(
        'NON_FINITE_SCORE',
        'a score is NaN; expected finite queries and keys; check the checkpoint and the input',
      );
    if (
      held === k &&
      !comesBefore(score, tieBreak(position), scores[into[at + k - 1]], tieBreak(into[at + k - 1]))
    )
      continue;
    let place = held < k ? held++ : k - 1;
    while (
      place > 0 &&
      comesBefore(score, tieBreak(position), scores[into[at + place - 1]], tieBreak(into[at + place - 1]))
    ) {
      into[at + place] = into[at + place - 1];
      place--;
    }
    into[at + place] = position;
  }
}
