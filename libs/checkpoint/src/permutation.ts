import { assert } from '@ultramem/invariant';

const ROUNDS = 6;

/**
 * A seeded permutation of `0 .. length - 1`, one entry at a time and without holding it: a Feistel network over the
 * next power of four, walked along its cycle until it falls inside (Black and Rogaway 2002).
 */
export function permutation(length: number, nextKey: () => number): (index: number) => number {
  assert(Number.isSafeInteger(length) && length >= 1 && length <= 2 ** 50, 'halves of at most 25 bits');
  let halfBits = 1;
  while (4 ** halfBits < length) halfBits++;
  const half = 2 ** halfBits;
  const keys = Array.from({ length: ROUNDS }, nextKey);
  const encrypt = (index: number): number => {
    let left = Math.floor(index / half);
    let right = index % half;
    for (const key of keys) [left, right] = [right, left ^ (scramble(right, key) & (half - 1))];
    return left * half + right;
  };
  return (index) => {
    let image = encrypt(index);
    while (image >= length) image = encrypt(image);
    return image;
  };
}

function scramble(value: number, key: number): number {
  let z = Math.imul(value ^ key, 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return z ^ (z >>> 16);
}
