import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { kernelConformance } from '@ultramem/kernels/conformance';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadAddon } from './load-addon.ts';

const loaded = loadAddon();
const isas = loaded.addon === null ? [loaded.why] : loaded.addon.isas.split(' ');
const program = fileURLToPath(new URL('../test/run-conformance.ts', import.meta.url));

describe.skipIf(loaded.addon === null).each(isas)('the native kernels (%s)', (isa) => {
  let outcome: { detail: string; failures: Record<string, string | null> };

  // A process takes one instruction set for good.
  beforeAll(async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', '--conditions=@ultramem/source', program],
      { env: { ...process.env, ULTRAMEM_ISA: isa }, maxBuffer: 2 ** 26 },
    );
    outcome = JSON.parse(stdout);
  }, 120_000);

  it('run on the instruction set that was asked for', () => {
    expect(outcome.detail).toContain(isa);
  });

  it.each(kernelConformance().map(({ name }) => name))('%s', (name) => {
    expect(outcome.failures[name]).toBeNull();
  });
});
