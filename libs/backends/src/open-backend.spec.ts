import { expect, it } from 'vitest';
import { openBackend } from './open-backend.ts';

it('opens plain TypeScript by name, and something without one', async () => {
  const reference = await openBackend({ backend: 'reference' });
  expect(reference.backend).toBe('reference');
  const best = await openBackend({ backend: 'auto' });
  expect(['native', 'tensorflow', 'reference']).toContain(best.backend);
  await best.close();
});

it('refuses a device for kernels that have none', async () => {
  await expect(openBackend({ backend: 'reference', device: 'gpu:9' })).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringMatching(/^--device is "gpu:9", but [^;]+; expected [^;]+; [^;]+$/),
  });
});
