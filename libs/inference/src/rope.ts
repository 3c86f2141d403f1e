import type { RopeTable } from '@ultramem/kernels';

/** Angles of SEMANTICS 2.2 step 4: position times theta^(-2 j / headWidth). */
export function createRopeTable(positionCount: number, headWidth: number, theta: number): RopeTable {
  const half = headWidth / 2;
  const cos = new Float32Array(positionCount * half);
  const sin = new Float32Array(positionCount * half);
  for (let j = 0; j < half; j++) {
    const frequency = theta ** ((-2 * j) / headWidth);
    for (let position = 0; position < positionCount; position++) {
      cos[position * half + j] = Math.cos(position * frequency);
      sin[position * half + j] = Math.sin(position * frequency);
    }
  }
  return { headWidth, cos, sin };
}
