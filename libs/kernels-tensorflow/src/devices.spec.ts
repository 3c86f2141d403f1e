import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { visibleDevice, whyAbsent } from './binding.ts';
import { probeTensorflow } from './probe-tensorflow.ts';
import { createTensorflowKernels } from './tensorflow-kernels.ts';

const absent = whyAbsent();

it('shows TensorFlow one graphics card, of those that the environment allows', () => {
  expect(visibleDevice('cpu', undefined)).toBe('-1');
  expect(visibleDevice(null, undefined)).toBe('0');
  expect(visibleDevice('gpu:2', undefined)).toBe('2');
  expect(visibleDevice(null, '3,5')).toBe('3');
  expect(visibleDevice('gpu:1', '3,5')).toBe('5');
  expect(visibleDevice('gpu:2', '3,5')).toBe('-1');
});

it('refuses a device of another kind', async () => {
  await expect(createTensorflowKernels({ device: 'tpu' })).rejects.toMatchObject({
    code: 'USAGE',
    message: 'the device is "tpu"; expected cpu or gpu:N, as gpu:0; correct it',
  });
});

it('the set-up refuses what it does not know, before it does anything', () => {
  const setup = fileURLToPath(new URL('../setup.mjs', import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [setup, '--tpu'], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({
    status: 2,
    stderr: 'error USAGE: --tpu was given; expected --gpu or nothing; leave it out\n',
  });
});

describe.runIf(absent !== null)('without its libraries', () => {
  it('says what is missing and what helps', async () => {
    expect(await probeTensorflow()).toEqual({ available: false, ...absent });
    await expect(createTensorflowKernels()).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' });
  });
});

describe.skipIf(absent !== null)('with its libraries', () => {
  it('says its version and device', async () => {
    expect(await probeTensorflow()).toMatchObject({
      available: true,
      detail: expect.stringMatching(/^TensorFlow 2\.\d+\.\d+, (CPU|GPU( .+)?)$/),
    });
  });

  it('keeps the device that it was loaded for', async () => {
    await (await createTensorflowKernels({ device: 'cpu' })).close();
    await (await createTensorflowKernels({})).close();
    await expect(createTensorflowKernels({ device: 'gpu:0' })).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      message:
        'TensorFlow was asked for gpu:0 after it was loaded for cpu; expected one device in a process; start another process for the other device',
    });
  });
});
