import { expect, it } from 'vitest';
import { BACKENDS, type Backend } from './backend-name.ts';
import { type BackendProbe, chooseBackend } from './choose-backend.ts';

const there = (onGpu: boolean) => ({ available: true as const, detail: '', onGpu });
const absent = { available: false as const, why: 'w', remedy: 'r' };

it.each<[Backend, Partial<Record<Backend, ReturnType<typeof there> | typeof absent>>]>([
  ['native', {}],
  ['native', { webgpu: there(true) }],
  ['tensorflow', { tensorflow: there(true) }],
  ['tensorflow', { tensorflow: there(true), native: absent }],
  ['reference', { native: absent }],
  ['reference', { native: absent, tensorflow: there(false), webgpu: there(true) }],
])('takes %s of %j', (expected, found) => {
  const probes = BACKENDS.map(
    (backend): BackendProbe => ({
      backend,
      ...(found[backend] ?? (backend === 'native' ? there(false) : absent)),
    }),
  );
  expect(chooseBackend(probes)).toBe(expected);
});
