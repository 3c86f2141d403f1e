import { assertRotation } from '../check-dense.ts';
import type { RopeTable } from '../dense.ts';

/** Rotates every head of `x [positions, heads, headWidth]` in place, half-split pairing (SEMANTICS 2.2 step 4). */
export function rotate(rope: RopeTable, x: Float32Array, positions: Uint32Array): void {
  assertRotation(rope, x, positions);
  const { headWidth, cos, sin } = rope;
  const half = headWidth / 2;
  const rowWidth = x.length / positions.length;
  for (let row = 0; row < positions.length; row++) {
    const angles = positions[row] * half;
    for (let head = row * rowWidth; head < (row + 1) * rowWidth; head += headWidth)
      for (let j = 0; j < half; j++) {
        const c = cos[angles + j];
        const s = sin[angles + j];
        const a = x[head + j];
        const b = x[head + half + j];
        x[head + j] = a * c - b * s;
        x[head + half + j] = b * c + a * s;
      }
  }
}
