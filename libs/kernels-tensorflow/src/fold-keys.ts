import { type CollapseVectors, rangeLength, SIDES } from '@ultramem/ultramem';
import type { Binding } from './binding.ts';
import type { TensorflowKeys } from './load-keys.ts';
import { normOf } from './settled.ts';
import { type TensorId, withTensors } from './tensors.ts';

/** Keys whose dot product with the query is the collapsed score, but for rounding: `Σ_r u_r key_r`. */
export interface FoldedKeys {
  collapse: CollapseVectors;
  /** `[lists, keys, width]` in f32, each list times its own power of two. */
  tensor: TensorId;
  /** `[lists]` that power: the largest element lies near 1, so that nothing that counts is denormal. */
  scale: Float64Array;
  /** `[lists]` greatest Euclidean norm of a folded and scaled key; NaN or 0 where folding makes no sense. */
  normMax: Float64Array;
  /** `[lists]` greatest `Σ_r |u_r| |key_r|`, scaled: what the rounding of refined scores is relative to. */
  refinedMax: Float64Array;
  /** `[lists]` `Σ_r |u_r|`, scaled. */
  vectorSum: Float64Array;
}

export function foldKeys(binding: Binding, keys: TensorflowKeys, collapse: CollapseVectors): FoldedKeys {
  const { headCount, range, width, rank, host, norms } = keys;
  const [lists, keyCount] = [headCount * SIDES, rangeLength(range)];
  const all = new Float32Array(lists * keyCount * width);
  const perList = () => new Float64Array(lists);
  const folded = { scale: perList(), normMax: perList(), refinedMax: perList(), vectorSum: perList() };
  const wide = new Float64Array(keyCount * width);
  for (let list = 0; list < lists; list++) {
    const side = list % SIDES === 0 ? collapse.row : collapse.column;
    const head = Math.floor(list / SIDES);
    const u = side.subarray(head * rank, (head + 1) * rank);
    for (let key = 0; key < keyCount; key++) {
      let refined = 0;
      wide.fill(0, key * width, (key + 1) * width);
      for (let r = 0; r < rank; r++) {
        const row = (list * keyCount + key) * rank + r;
        refined += Math.abs(u[r]) * norms[row];
        for (let c = 0; c < width; c++) wide[key * width + c] += u[r] * host[row * width + c];
      }
      folded.refinedMax[list] = Math.max(folded.refinedMax[list], refined);
    }
    const scale = powerOfTwoNear(wide);
    const at = list * keyCount * width;
    for (let i = 0; i < wide.length; i++) all[at + i] = wide[i] * scale;
    for (let key = 0; key < keyCount; key++)
      folded.normMax[list] = Math.max(folded.normMax[list], normOf(all, at + key * width, width));
    folded.scale[list] = scale;
    folded.refinedMax[list] *= scale;
    folded.vectorSum[list] = scale * u.reduce((sum, value) => sum + Math.abs(value), 0);
  }
  const tensor = withTensors(binding, (tensors) => tensors.keep(tensors.f32([lists, keyCount, width], all)));
  return { collapse: { row: collapse.row.slice(), column: collapse.column.slice() }, tensor, ...folded };
}

/** A power of two that brings the largest absolute value to between 1/4 and 2; 1 where there is none above 0. */
export function powerOfTwoNear(x: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < x.length; i++) largest = Math.max(largest, Math.abs(x[i]));
  return largest > 0 && largest < Number.POSITIVE_INFINITY ? 2 ** -Math.ceil(Math.log2(largest)) : 1;
}
