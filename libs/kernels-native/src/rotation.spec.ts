import { createRandom } from '@ultramem/environment';
import { createReferenceKernels } from '@ultramem/kernels';
import { expect, it } from 'vitest';
import { createNativeKernels } from './native-kernels.ts';
import { probeNative } from './probe-native.ts';

it.skipIf(!probeNative().available)(
  'rotates by the positions that were given, though they change before a thread reads them',
  async () => {
    const random = createRandom(3);
    const floats = (count: number) => Float32Array.from({ length: count }, () => random.normal());
    const rope = { headWidth: 128, cos: floats(64 * 10), sin: floats(64 * 10) };
    const positions = Uint32Array.from({ length: 4000 }, (_, row) => row % 10); // too many to be done at once
    const x = floats(positions.length * 8 * rope.headWidth);
    const want = x.slice();
    await createReferenceKernels().rotate(rope, want, positions);
    const kernels = createNativeKernels({ threads: 2 });
    const rotated = kernels.rotate(rope, x, positions);
    positions.fill(0xffffffff);
    await rotated;
    expect(Buffer.from(x.buffer).equals(Buffer.from(want.buffer))).toBe(true);
    await kernels.close();
  },
);
