import { syntheticCheckpoint, V1_MODEL, V2_MODEL } from '@ultramem/checkpoint/synthetic';
import { type Client, connectClient } from '@ultramem/client';
import { systemClock } from '@ultramem/environment-system';
import { createWebgpuKernels, requiredLimits } from '@ultramem/kernels-webgpu';
import { openWebgpuDevice, probeWebgpu, type WebgpuDevice } from '@ultramem/webgpu-device';
import { afterEach, describe, expect, it } from 'vitest';
import { startMemoryCluster } from '../promises/memory-cluster.ts';

const probe = await probeWebgpu();
const title = probe.available ? `on ${probe.detail}` : `without an adapter: ${probe.remedy}`;
const ASKED = { prompts: ['ab', 'The memory'], maxTokens: 8 };
const LOST = { code: 'DEVICE_LOST', retriable: true };

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

/**
 * A cluster whose coordinator computes on real devices, and whose workers do not.
 *
 * @param spoil what happens to each device but the first as soon as it is there
 */
async function start(model: Record<string, unknown>, spoil: (device: GPUDevice) => void = () => {}) {
  const devices: WebgpuDevice[] = [];
  const open = async () => {
    const opened = await openWebgpuDevice(requiredLimits);
    devices.push(opened);
    endings.push(() => opened.close());
    return createWebgpuKernels(opened.device);
  };
  const events: { kind: string }[] = [];
  const cluster = await startMemoryCluster(await syntheticCheckpoint(model, { seed: 1, dtype: 'F32' }), {
    ...{ partition: 'slots', keys: 'coordinator', capacities: [1e9, 1e9] },
    coordinator: {
      kernels: await open(),
      reopenKernels: async () => {
        const kernels = await open();
        spoil(devices.at(-1)!.device);
        return kernels;
      },
    },
    onEvent: (source, event) => {
      if (source === 'coordinator') events.push(event as { kind: string });
    },
  });
  endings.push(() => cluster.stop());
  const dial = async (): Promise<Client> => {
    const client = await connectClient({
      ...{ transport: cluster.transport, clock: systemClock, url: cluster.coordinator.url },
      ...{ token: null, software: 'test/1', connectTimeoutMs: 5_000 },
    });
    endings.push(() => client.close());
    return client;
  };
  const lose = () => devices.at(-1)?.device.destroy();
  const told = () => events.map(({ kind }) => kind).filter((kind) => kind.startsWith('device'));
  return { devices, client: await dial(), dial, lose, told };
}

async function tokens(client: Client) {
  return (await client.generate({ ...ASKED, deadlineMs: 20_000 })).sequences.map(({ tokenIds }) => tokenIds);
}

describe.skipIf(!probe.available)(`a coordinator whose device is lost ${title}`, () => {
  it.each([
    ['v1', V1_MODEL],
    ['v2', V2_MODEL],
  ])('fails one request and answers the next as before: %s', async (_, model) => {
    const { client, lose, devices, told } = await start(model);
    const before = await tokens(client);
    lose();
    await expect(tokens(client)).rejects.toMatchObject(LOST);
    expect(await tokens(client)).toEqual(before);
    expect(devices).toHaveLength(2);
    lose();
    await expect(tokens(client)).rejects.toMatchObject(LOST);
    expect(told()).toEqual(['device-lost', 'device-reopened', 'device-lost']);
    expect(await client.status()).toMatchObject({ cluster: { state: 'ready' } });
    await expect(tokens(client)).rejects.toMatchObject(LOST);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(await tokens(client)).toEqual(before);
  });

  it('in the middle of many requests fails some of them, and gives none a wrong token', async () => {
    const { client, dial, lose, devices } = await start(V1_MODEL);
    const before = await tokens(client);
    const clients = await Promise.all(Array.from({ length: 6 }, dial));
    let given = 0;
    const onToken = () => {
      if (++given === 15) lose();
    };
    const answers = await Promise.allSettled(
      clients.map((each) => each.generate({ ...ASKED, deadlineMs: 20_000, onToken })),
    );
    for (const answer of answers)
      if (answer.status === 'rejected') expect(answer.reason).toMatchObject(LOST);
      else expect(answer.value.sequences.map(({ tokenIds }) => tokenIds)).toEqual(before);
    expect(answers.map(({ status }) => status)).toContain('rejected');
    expect(await Promise.all(clients.map(tokens))).toEqual(clients.map(() => before));
    expect(devices).toHaveLength(2);
  });

  it('at once again does not open one device after the other', async () => {
    const { client, lose, devices, told } = await start(V1_MODEL, (device) => device.destroy());
    lose();
    for (let i = 0; i < 50; i++) await expect(tokens(client)).rejects.toMatchObject(LOST);
    expect(devices).toHaveLength(2);
    expect(told()).toEqual(['device-lost', 'device-lost']);
  });
});
