import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { loadAddon } from './load-addon.ts';

const testRoot = new URL('../native/test/', import.meta.url);
const drivers = readdirSync(testRoot)
  .filter((name) => name.endsWith('.cc'))
  .map((name) => name.slice(0, -3));

// Where the addon could be built there is a compiler.
describe.skipIf(loadAddon().addon === null)('under sanitizers', () => {
  it.each(drivers)('%s finds nothing', { timeout: 600_000 }, async (driver) => {
    const program = fileURLToPath(new URL('run.mjs', testRoot));
    const { stdout } = await promisify(execFile)(process.execPath, [program, driver]);
    expect(stdout).toContain(`${driver} `);
  });

  it('no entry point of the addon leaves its arrays, whatever it is given', {
    timeout: 600_000,
  }, async () => {
    const program = fileURLToPath(new URL('addon-fuzz.mjs', testRoot));
    const { stdout } = await promisify(execFile)(process.execPath, [program]);
    expect(stdout).toMatch(/^\d+ calls of \d+ entry points, \d+ refused$/m);
  });
});
