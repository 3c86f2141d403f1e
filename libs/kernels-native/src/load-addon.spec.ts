import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AssertionError } from '@ultramem/invariant';
import { memoryTensor } from '@ultramem/kernels';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Addon, type Engine, hashSources, loadAddon } from './load-addon.ts';
import { createNativeKernels } from './native-kernels.ts';
import { probeNative } from './probe-native.ts';

const loaded = loadAddon();

it('is loaded, or says why not and what to do', () => {
  const probe = probeNative();
  if (probe.available)
    expect(probe.detail).toMatch(/^(scalar|avx2|avx512|avx512 with bf16|amx with bf16|neon), \d+ threads?$/);
  else expect([probe.why, probe.remedy]).not.toContain('');
});

it('is not built by a CXX that does not run, and the build says what to do', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ultramem-native-'));
  try {
    await cp(new URL('../native', import.meta.url), join(folder, 'native'), { recursive: true });
    const output = execFileSync(process.execPath, [join(folder, 'native/build.mjs')], {
      env: { ...process.env, CXX: '/nowhere/g++' },
    });
    const failure = {
      why: 'CXX is /nowhere/g++, which does not run',
      remedy: 'let CXX name a C++ compiler, or unset it, and run npm run build',
    };
    expect(output.toString()).toMatch(`${failure.why}; to have native ones, ${failure.remedy}\n`);
    const status = JSON.parse(await readFile(join(folder, 'build/status.json'), 'utf8'));
    expect(status).toMatchObject({ ok: false, ...failure });
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe.skipIf(loaded.addon === null)('the addon', () => {
  let addon: Addon;
  let engine: Engine;
  beforeAll(() => {
    addon = loaded.addon as Addon;
    engine = addon.createEngine(2);
  });
  afterAll(() => addon.stopEngine(engine));

  it('was built from these sources', () => {
    const status = JSON.parse(readFileSync(new URL('../build/status.json', import.meta.url), 'utf8'));
    expect(status.sourcesHash).toBe(hashSources());
  });

  it('says what to do about an instruction set that the machine lacks', () => {
    const script = `import { probeNative } from '@ultramem/kernels-native'; console.log(JSON.stringify(probeNative()))`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: new URL('.', import.meta.url),
      env: { ...process.env, ULTRAMEM_ISA: 'mmx' },
    });
    const probe = JSON.parse(output.toString());
    expect(probe).toMatchObject({ available: false, remedy: 'unset ULTRAMEM_ISA' });
    expect(probe.why).toContain(`ULTRAMEM_ISA is mmx; expected one of ${addon.isas}`);
  });

  it('refuses arguments of the wrong type, number or shape before it touches memory', () => {
    const matrix = addon.createMatrix(0, 2, 3, false);
    const x = new Float32Array(3);
    const out = new Float32Array(2);
    const other = addon.createEngine(1);
    const call = (...args: unknown[]) => Reflect.apply(addon.matmul, undefined, args);
    expect(call(engine, matrix, x, 1, null, out)).toBeUndefined();
    expect(() => call(engine, matrix, x, 1, null)).toThrow('an argument is missing');
    expect(() => call(matrix, matrix, x, 1, null, out)).toThrow('argument 0 is no engine');
    expect(() => call(engine, other, x, 1, null, out)).toThrow('argument 1 is no matrix');
    expect(() => call(engine, {}, x, 1, null, out)).toThrow('argument 1 is no matrix');
    expect(() => call(engine, matrix, new Float64Array(3), 1, null, out)).toThrow('is no float32 array');
    expect(() => call(engine, matrix, [1, 2, 3], 1, null, out)).toThrow('is no float32 array');
    for (const rowCount of [-1, 0.5, Number.NaN, 2 ** 32, '1'])
      expect(() => call(engine, matrix, x, rowCount, null, out)).toThrow('argument 3 is no');
    expect(() => call(engine, matrix, x, 2, null, out)).toThrow('x is [rowCount, columns]');
    expect(() => call(engine, matrix, x, 1, null, x)).toThrow('the result is [rowCount, rows]');
    expect(() => call(engine, matrix, x, 1, x, out)).toThrow('the bias is [rows]');
    expect(() => addon.createMatrix(0, 2 ** 31, 2 ** 31, false)).toThrow('a shape has too many elements');
    expect(() => addon.fillMatrix(engine, matrix, 1, new Uint8Array(24))).toThrow('inside the matrix');
    expect(() => addon.fillMatrix(engine, matrix, 0, new Uint8Array(13))).toThrow('whole rows');
    addon.releaseMatrix(matrix);
    addon.releaseMatrix(matrix);
    expect(() => call(engine, matrix, x, 1, null, out)).toThrow('matrix is used after its release');
    addon.stopEngine(other);
    expect(() => call(other, addon.createMatrix(0, 2, 3, false), x, 1, null, out)).toThrow('after close');
  });
});

describe.skipIf(loaded.addon === null)('a large computation', () => {
  const size = 700;

  it('leaves the event loop free, and a weight alive that is released meanwhile', async () => {
    const kernels = createNativeKernels({ threads: 1 });
    const ones = new Float32Array(size * size).fill(1);
    const weight = await kernels.loadMatrix(memoryTensor('ones', 'F32', [size, size], ones));
    let turns = 0;
    let settled = false;
    const product = kernels.matmul(weight, ones, size, null).finally(() => {
      settled = true;
    });
    weight.release();
    while (!settled) {
      turns++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await product).every((sum) => sum === size)).toBe(true);
    expect(turns).toBeGreaterThan(1);
    await kernels.close();
  });

  it('is finished before the threads end, and nothing is computed afterwards', async () => {
    const kernels = createNativeKernels({ threads: 3 });
    const ones = new Float32Array(size * size).fill(1);
    const weight = await kernels.loadMatrix(memoryTensor('ones', 'F32', [size, size], ones));
    const products = [1, 2, 3].map(() => kernels.matmul(weight, ones, size, null));
    await kernels.close();
    for (const product of products) expect((await product)[0]).toBe(size);
    await expect(kernels.matmul(weight, ones, size, null)).rejects.toThrow('after close');
    await expect(kernels.close()).resolves.toBeUndefined();
  });

  it('lets the event loop turn in a chain of small ones, too', async () => {
    const kernels = createNativeKernels({ threads: 1 });
    const weight = await kernels.loadMatrix(
      memoryTensor('ones', 'F32', [256, 256], new Float32Array(256 * 256).fill(1)),
    );
    const x = new Float32Array(256).fill(1);
    let turned = false;
    setImmediate(() => {
      turned = true;
    });
    let calls = 0;
    for (; !turned && calls < 100_000; calls++) await kernels.matmul(weight, x, 1, null);
    expect(turned).toBe(true);
    await kernels.close();
  });
});

it.skipIf(loaded.addon === null)('matrices of other backends are refused', async () => {
  const kernels = createNativeKernels({ threads: 1 });
  const foreign = { rows: 1, columns: 1, activations: 'F32', residentBytes: 4, release: () => {} } as const;
  await expect(kernels.matmul(foreign, new Float32Array(1), 1, null)).rejects.toThrow(AssertionError);
  await kernels.close();
});
