/** Magnitudes of some numbers: the smallest and the largest that are not 0; `Infinity` and 0 where all are 0. */
export interface Span {
  smallest: number;
  /** `Infinity` also where a number is not finite. */
  largest: number;
}

export const EMPTY_SPAN: Span = { smallest: Number.POSITIVE_INFINITY, largest: 0 };

export function spanOf(values: Float32Array, known: Span = EMPTY_SPAN): Span {
  let { smallest, largest } = known;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]);
    if (magnitude < smallest && magnitude > 0) smallest = magnitude;
    if (!(magnitude <= largest))
      largest = magnitude <= Number.MAX_VALUE ? magnitude : Number.POSITIVE_INFINITY;
  }
  return { smallest, largest };
}

/** Far above the smallest normal f32, 2^-126, so that the low parts of split factors are normal too. */
const HARMLESS_MIN = 2 ** -80;
/** Devices may flush every smaller number to zero. */
const F32_NORMAL_MIN = 2 ** -126;

/**
 * Results of `terms` products of numbers of `a` and `b` that are to be computed on the host: those whose magnitude is below the
 * number returned, and those that are not finite. A device may flush denormal factors, products and sums to zero; each flush
 * is an error of at most 2^-126 times 1, a factor of `a` or one of `b`, which is below a millionth of any larger result.
 *
 * @returns 0 where nothing can be flushed or overflow, `Infinity` where the device cannot be trusted at all
 */
export function doubtBelow(a: Span, b: Span, terms: number): number {
  if (a.largest === 0 || b.largest === 0) return 0;
  if (!(terms * a.largest * b.largest < 2 ** 126 && a.largest < 2 ** 126 && b.largest < 2 ** 126))
    return Number.POSITIVE_INFINITY;
  if (Math.min(a.smallest, b.smallest, a.smallest * b.smallest) >= HARMLESS_MIN) return 0;
  return 8 * terms * F32_NORMAL_MIN * (a.largest + b.largest + 1) * 2 ** 20;
}

export function isDoubtful(result: number, doubt: number): boolean {
  return !(Math.abs(result) >= doubt && Math.abs(result) < Number.POSITIVE_INFINITY);
}
