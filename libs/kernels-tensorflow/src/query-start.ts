import type { ScoreRequest } from '@ultramem/kernels';
import { SIDES } from '@ultramem/ultramem';

/** Where the query of a token and list begins; list `head * 2 + side`. */
export function queryStart(
  { groupOfHead, groupCount }: Pick<ScoreRequest, 'groupOfHead' | 'groupCount'>,
  width: number,
  token: number,
  list: number,
): number {
  const group = groupOfHead[Math.floor(list / SIDES)];
  return ((token * groupCount + group) * SIDES + (list % SIDES)) * width;
}
