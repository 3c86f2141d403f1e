// `generate` and `lookup` without a cluster: the same answers as the recorded ones and as a cluster's.
import { readFileSync } from 'node:fs';
import { startCluster } from '@ultramem/testing';
import { expect, it } from 'vitest';
import { DEMO_MODEL, runUltramem } from './run-ultramem.ts';

const { greedy } = JSON.parse(readFileSync(`${DEMO_MODEL}/io.json`, 'utf8'));
const [{ prompt, greedy_ids: expected }] = greedy;

it('generates the recorded tokens', async () => {
  const { exitCode, stdout } = await runUltramem(
    ...[
      'generate',
      '--model',
      DEMO_MODEL,
      '--prompt',
      prompt,
      '--max-tokens',
      `${expected.length}`,
      '--json',
    ],
  );
  expect(exitCode).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    tokenIds: expected,
    finish: 'length',
    hiddenFraction: expect.any(Number),
  });
});

it('explains a lookup as a cluster does', async () => {
  const { exitCode, stdout } = await runUltramem(
    'lookup',
    '--model',
    DEMO_MODEL,
    '--prompt',
    prompt,
    '--layer',
    '1',
    '--json',
  );
  expect(exitCode).toBe(0);
  const alone = JSON.parse(stdout);
  const cluster = await startCluster({
    model: DEMO_MODEL,
    workers: 2,
    partition: 'columns',
    inProcess: true,
  });
  try {
    const sharded = await cluster.explain({ text: prompt, layer: 1 });
    expect(sharded.heads).toEqual(alone.heads);
    expect({ token: sharded.token, layer: sharded.layer }).toEqual({
      token: alone.token,
      layer: alone.layer,
    });
    expect(sharded.shards.map(({ workerId }) => workerId)).toEqual(['worker-0', 'worker-1']);
  } finally {
    await cluster.stop();
  }
});

it('refuses a cluster and a model at once', async () => {
  const { exitCode, stderr } = await runUltramem(
    'lookup',
    '--model',
    DEMO_MODEL,
    '--coordinator',
    'ws://h:1',
    '--prompt',
    'x',
  );
  expect({ exitCode, stderr }).toEqual({
    exitCode: 2,
    stderr: expect.stringMatching(/^error USAGE: .*cannot be used with/),
  });
});
