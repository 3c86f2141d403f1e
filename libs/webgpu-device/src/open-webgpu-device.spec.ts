import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openWebgpuDevice, probeWebgpu } from './open-webgpu-device.ts';

const DRIVERS = '/usr/share/vulkan/icd.d';
const probe = await probeWebgpu();

it('says what is here, or what mends it', () => {
  if (probe.available) expect(probe.detail).not.toBe('');
  else {
    expect(probe.why).not.toBe('');
    expect(probe.remedy).toMatch(/install/);
  }
});

it('refuses an adapter that is not there', async () => {
  await expect(openWebgpuDevice(() => ({}), { adapter: 'no such card' })).rejects.toMatchObject({
    code: 'BACKEND_UNAVAILABLE',
    message: expect.stringMatching(/^[^;]+; [^;]+; [^;]+$/),
  });
});

const title = probe.available ? `on ${probe.detail}` : `without an adapter: ${probe.remedy}`;
describe.skipIf(!probe.available)(title, () => {
  it('gives a device with the limits that were asked for, and takes it back', async () => {
    const limit = 'maxStorageBufferBindingSize';
    let most = 0;
    const { device, description, close } = await openWebgpuDevice(({ limits }) => {
      most = limits[limit];
      return { [limit]: most };
    });
    expect(probe).toMatchObject({ detail: description });
    expect(most).toBeGreaterThanOrEqual(128 * 2 ** 20);
    expect(device.limits[limit]).toBe(most);
    close();
    expect(await device.lost).toMatchObject({ reason: 'destroyed' });
  });

  it('refuses what the adapter cannot give', async () => {
    await expect(openWebgpuDevice(() => ({ maxBindGroups: 1_000_000 }))).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      message: expect.stringMatching(/gives no device: [^;]+; [^;]+; [^;]+$/),
    });
  });

  it('leaves the environment as it was', async () => {
    const before = { ...process.env };
    (await openWebgpuDevice(() => ({}))).close();
    expect({ ...process.env }).toEqual(before);
  });

  it.each(['opened.close();', 'opened.close(); gc();', ''])(
    'lets the process end by itself after "%s"',
    (end) => {
      const source = fileURLToPath(new URL('open-webgpu-device.ts', import.meta.url));
      const program = `
      import { openWebgpuDevice } from ${JSON.stringify(source)};
      const opened = await openWebgpuDevice(() => ({}));
      ${end}`;
      const { status, signal, stderr } = spawnSync(
        process.execPath,
        [
          '--expose-gc',
          '--conditions=@ultramem/source',
          '--import',
          'tsx',
          '--input-type=module',
          '-e',
          program,
        ],
        { encoding: 'utf8' },
      );
      expect({ status, signal }).toEqual({ status: 0, signal: null });
      // Drivers of graphics cards may write what they like; the one on the processor is silent.
      if (probe.available && probe.isSoftware && !existsSync(DRIVERS)) expect(stderr).toBe('');
    },
  );
});
