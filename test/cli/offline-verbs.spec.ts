import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, watch } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DEMO_MODEL, failureLine, runUltramem, startUltramem, temporaryDirectory } from './run-ultramem.ts';

const directory = temporaryDirectory();

async function succeed(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runUltramem(...args);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  return stdout;
}

describe('inspect', () => {
  it('describes the demo model', async () => {
    expect(await succeed('inspect', '--model', DEMO_MODEL)).toContain('32768 in 2 tables of 16384 rows x 64');
    expect(JSON.parse(await succeed('inspect', '--json', '--model', DEMO_MODEL))).toMatchObject({
      ...{ family: 'ultramem_v1', tokenizer: 'bytes' },
      memory: { slots: 32768, virtualSlotsPerLayer: 65536 },
    });
  });
});

describe('plan', () => {
  it('gives facts as JSON and as a table', async () => {
    const args = [
      'plan',
      '--model',
      DEMO_MODEL,
      '--workers',
      '4',
      '--partition',
      'grid:2x2',
      '--keys',
      'workers',
      '--memory',
      '8GiB',
    ];
    const facts = JSON.parse(await succeed(...args, '--json'));
    expect(facts).toMatchObject({ partition: 'grid:2x2', keys: 'workers' });
    expect(facts.workers.map((worker: { rows: object }) => worker.rows)).toEqual([
      ...[
        { start: 0, end: 8192 },
        { start: 0, end: 8192 },
      ],
      ...[
        { start: 8192, end: 16384 },
        { start: 8192, end: 16384 },
      ],
    ]);
    expect(await succeed(...args)).toMatch(/worker-4 +8192-16383 +32-63 +192-255 +[\d.]+ MiB +8 GiB\n/);
  });

  it('goes by the link', async () => {
    const lookupMs = async (roundTripMs: string): Promise<number> => {
      const text = await succeed(
        'plan',
        '--json',
        '--model',
        DEMO_MODEL,
        '--workers',
        '2',
        '--link-round-trip',
        roundTripMs,
      );
      return JSON.parse(text).estimates[0].lookups[0].ms;
    };
    expect((await lookupMs('50')) - (await lookupMs('1'))).toBeCloseTo(49, 3);
  });
});

describe('synth', () => {
  it.each(['v1', 'v2', 'memory-plus'])(
    'writes a %s model that opens, runs, and is the same again',
    async (family) => {
      const shape = ['--family', family, '--slots', '500', '--d-model', '64', '--blocks', '3', '--seed', '9'];
      const [one, two] = ['one', 'two'].map((name) => join(directory, `${family}-${name}`)) as [
        string,
        string,
      ];
      expect(await succeed('synth', '--out', one, ...shape)).toContain(`ultramem inspect --model ${one}`);
      const facts = JSON.parse(await succeed('synth', '--out', two, ...shape, '--json'));
      const bytes = readFileSync(join(one, 'model.safetensors'));
      expect(facts).toMatchObject({ out: two, bytes: bytes.byteLength, seed: 9, dtype: 'bf16' });
      expect(bytes.equals(readFileSync(join(two, 'model.safetensors')))).toBe(true);
      const inspected = JSON.parse(await succeed('inspect', '--json', '--model', one));
      expect(inspected).toMatchObject({
        tokenizer: 'bytes',
        memory: { tableRows: facts.rowsPerTable, slots: facts.slots },
      });
      const generated = await runUltramem(
        'generate',
        '--model',
        one,
        '--prompt',
        'a',
        '--max-tokens',
        '2',
        '--json',
      );
      expect(generated.exitCode, generated.stderr).toBe(0);
    },
  );

  it('takes the shape of another model, with another number of slots', async () => {
    const out = join(directory, 'like');
    const facts = JSON.parse(
      await succeed('synth', '--out', out, '--like', DEMO_MODEL, '--slots', '1K', '--dtype', 'f32', '--json'),
    );
    expect(facts).toMatchObject({ family: 'ultramem_v1', tables: 2, rowsPerTable: 1024, dtype: 'f32' });
    const again = JSON.parse(
      await succeed('synth', '--out', `${out}-config`, '--config', join(out, 'config.json'), '--json'),
    );
    expect(again).toMatchObject({ rowsPerTable: 1024 });
  });

  it('leaves nothing behind when it fails', async () => {
    const out = join(directory, 'none');
    const { stderr } = await runUltramem('synth', '--out', out, '--family', 'v1', '--heads', '3');
    expect(stderr).toMatch(failureLine('CONFIG_INVALID', 'mem_head is 3'));
    expect(readdirSync(directory).filter((name) => name.startsWith('none'))).toEqual([]);
  });
});

describe('synth, stopped in the middle,', () => {
  it.skipIf(process.platform === 'win32')('says so and leaves nothing behind', async () => {
    const place = join(directory, 'stopped');
    mkdirSync(place);
    const watcher = watch(place);
    const begun = once(watcher, 'change');
    const child = startUltramem(
      'synth',
      '--out',
      join(place, 'model'),
      '--slots',
      '1M',
      '--value-width',
      '512',
    );
    await begun;
    watcher.close();
    child.kill('SIGINT');
    const { exitCode, stdout, stderr } = await child.ended;
    expect(stderr).toMatch(failureLine('CANCELLED', 'was not finished (SIGINT)'));
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(readdirSync(place)).toEqual([]);
  });
});

describe('doctor', () => {
  it('finds a machine that runs its own tests fit, and a model that opens', async () => {
    const text = await succeed('doctor', '--model', DEMO_MODEL);
    expect(text).toMatch(/^ok +loopback /m);
    expect(text).toMatch(/^ok +model .* opens: ultramem_v1, 32768 slots/m);
    const { ok, findings } = JSON.parse(await succeed('doctor', '--json'));
    expect(ok).toBe(true);
    expect(findings.map(({ what }: { what: string }) => what)).toEqual([
      'node',
      'npm',
      'cpu',
      'memory',
      'disk',
      'loopback',
      'port',
      'native',
      'tensorflow',
      'webgpu',
      'reference',
      'backend',
    ]);
  });

  it('ends with 1 when the model is broken', async () => {
    const { exitCode, stdout, stderr } = await runUltramem('doctor', '--model', directory);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(failureLine('NOT_READY', 'this machine fails in: model'));
    expect(stdout).toMatch(/^fail +model +CHECKPOINT_NOT_FOUND: /m);
  });

  it('warns when the port is taken', async () => {
    const server = createServer();
    // Taken by this server, or by another program already: the finding is the same.
    await new Promise<void>((resolve) =>
      server.once('error', () => resolve()).listen(7420, '127.0.0.1', resolve),
    );
    try {
      expect(await succeed('doctor')).toMatch(/^warn +port +7420 is taken/m);
    } finally {
      server.close();
    }
  });
});
