import { fileURLToPath } from 'node:url';
import { BACKENDS, probeBackends } from '@ultramem/backends';
import { describe, expect, it } from 'vitest';
import { DEMO_MODEL, runUltramem } from '../cli/run-ultramem.ts';

const VECTORS = fileURLToPath(new URL('../vectors', import.meta.url));
const probes = await probeBackends();
const present = BACKENDS.filter((name) =>
  probes.some(({ backend, available }) => backend === name && available),
);
/** Plain TypeScript is verified by other tests; software GPUs need their time. */
const TIMEOUT_MS = 240_000;

async function verify(...args: string[]): Promise<{ name: string; indicesEqual: boolean }[]> {
  const { exitCode, stdout, stderr } = await runUltramem('verify', '--json', ...args);
  expect(exitCode, `${stdout}${stderr}`).toBe(0); // drivers of graphics cards write warnings
  const { ok, cases } = JSON.parse(stdout);
  expect(ok).toBe(true);
  return cases;
}

const BY_VECTORS = ['--vectors', VECTORS];
const BY_MODEL = ['--model', DEMO_MODEL, '--against', `${DEMO_MODEL}/io.safetensors`];

// A software GPU takes minutes for this: test/webgpu/recorded.spec.ts has the layers and the text, and the mixed cluster below a worker.
describe.each(['native', 'tensorflow'] as const)('the %s backend', (backend) => {
  it.skipIf(!present.includes(backend))(
    'computes the recorded layers, and through workers the recorded text',
    async () => {
      expect((await verify(...BY_VECTORS, '--backend', backend)).length).toBeGreaterThan(20);
      await verify(...BY_MODEL, '--backend', backend, '--workers', '2', '--partition', 'slots');
    },
    TIMEOUT_MS,
  );
});

it.skipIf(!present.includes('native'))(
  'native workers compute the recorded layers',
  () => verify(...BY_VECTORS, '--backend', 'native', '--workers', '2', '--keys', 'workers'),
  TIMEOUT_MS,
);

it.skipIf(present.length < 2)(
  'backends mixed in one cluster answer like one process',
  async () => {
    const mixed = ['--backend', present.join(), '--workers', `${present.length}`];
    await verify(...BY_MODEL, ...mixed, '--partition', 'columns', '--keys', 'workers');
  },
  TIMEOUT_MS,
);
