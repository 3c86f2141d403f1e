import { execFileSync } from 'node:child_process';
import { afterAll, expect, it } from 'vitest';
import { processesOfSpec } from './processes.ts';
import { connect, MODEL, PROGRAM } from './programs.ts';

const { start, end } = processesOfSpec();
afterAll(end);

it('a cluster with activations in bf16 writes what one process writes with them, and nothing else', async () => {
  const coordinator = start('coordinator', [
    ...['coordinator', '--model', MODEL, '--workers', '2', '--port', '0', '--activations', 'bf16'],
  ]);
  const { url } = await coordinator.message('listening');
  for (const id of ['a', 'b']) start(id, ['worker', '--model', MODEL, '--id', id, '--coordinator', url]);
  await coordinator.message('ready');
  const client = await connect(url);
  const call = { maxTokens: 120, temperature: 0.8, seed: 7 };
  const { sequences } = await client.generate({ prompts: ['ROMEO:'], ...call });
  expect((await client.status()).cluster.activations).toBe('bf16');
  const shown = execFileSync(PROGRAM.command, [...PROGRAM.args, 'status', '--coordinator', url]);
  expect(shown.toString()).toContain(' kernels, activations in bf16\n');
  client.close();
  expect(sequences[0]?.tokenIds).toEqual(generateAlone('bf16', call));
  expect(sequences[0]?.tokenIds).not.toEqual(generateAlone('f32', call));
}, 60_000);

function generateAlone(
  activations: string,
  { maxTokens, temperature, seed }: { maxTokens: number; temperature: number; seed: number },
): number[] {
  const output = execFileSync(PROGRAM.command, [
    ...PROGRAM.args,
    ...['generate', '--model', MODEL, '--activations', activations, '--prompt', 'ROMEO:', '--json'],
    ...['--max-tokens', `${maxTokens}`, '--temperature', `${temperature}`, '--seed', `${seed}`],
  ]);
  return JSON.parse(output.toString()).tokenIds;
}
