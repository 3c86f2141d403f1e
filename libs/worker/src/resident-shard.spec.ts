import type { Checkpoint } from '@ultramem/checkpoint';
import { syntheticCheckpoint, V2_MODEL } from '@ultramem/checkpoint/synthetic';
import { createReferenceKernels, type Kernels, type ValueTable } from '@ultramem/kernels';
import type { MessageOfKind } from '@ultramem/protocol';
import type { MemoryGeometry } from '@ultramem/ultramem';
import { beforeAll, describe, expect, it } from 'vitest';
import { invalidAssignment, loadShard } from './resident-shard.ts';

let checkpoint: Checkpoint;
let geometry: MemoryGeometry;
let assignment: MessageOfKind<'assign'>;

beforeAll(async () => {
  checkpoint = await syntheticCheckpoint(V2_MODEL, { seed: 1, dtype: 'F32' });
  if (checkpoint.geometry === null) throw new Error('the model has memory');
  geometry = checkpoint.geometry;
  assignment = {
    kind: 'assign',
    id: 1,
    deadlineMs: 1,
    epoch: 3,
    shard: 1,
    rows: { start: 4, end: 12 },
    columns: { start: 0, end: 8 },
    preColumns: { start: 0, end: 8 },
    keys: { start: 2, end: 4 },
  };
});

/** Reference kernels that tell which of their tables have been given back. */
function watchedKernels(): { kernels: Kernels; released: ValueTable[] } {
  const inner = createReferenceKernels();
  const released: ValueTable[] = [];
  const loadValues: Kernels['loadValues'] = async (...args) => {
    const table = await inner.loadValues(...args);
    const release = table.release.bind(table);
    return Object.assign(table, {
      release: () => {
        released.push(table);
        release();
      },
    });
  };
  return { kernels: { ...inner, loadValues }, released };
}

describe('loadShard', () => {
  const load = async (
    changes: Partial<MessageOfKind<'assign'>>,
    held: Awaited<ReturnType<typeof loadShard>> | null,
    kernels: Kernels,
  ) => {
    const progress: [number, number][] = [];
    const onProgress = (loaded: number, total: number) => void progress.push([loaded, total]);
    const shard = await loadShard({ ...assignment, ...changes }, held, {
      checkpoint,
      geometry,
      kernels,
      onProgress,
    });
    return { shard, progress };
  };

  it('holds the slice and reports the bytes on their way', async () => {
    const { shard, progress } = await load({}, null, createReferenceKernels());
    expect(shard).toMatchObject({
      shard: 1,
      epoch: 3,
      slice: { rows: { start: 4, end: 12 }, keys: { start: 2, end: 4 } },
    });
    const [layer] = shard.tables.layers;
    expect(layer?.values).toMatchObject({ rows: assignment.rows, columns: assignment.columns });
    expect(layer?.keys).toMatchObject({ range: assignment.keys });
    const [loaded, total] = progress.at(-1) ?? [];
    expect(loaded).toBe(total);
    expect(total).toBeGreaterThan(0);
  });

  it('keeps what it holds when only shard and epoch are new', async () => {
    const { kernels, released } = watchedKernels();
    const first = await load({}, null, kernels);
    const second = await load({ epoch: 9, shard: 0 }, first.shard, kernels);
    expect(second.shard).toMatchObject({ epoch: 9, shard: 0 });
    expect(second.shard.tables).toBe(first.shard.tables);
    expect([second.progress, released]).toEqual([[], []]);
  });

  it.each([
    { rows: { start: 4, end: 11 } },
    { columns: { start: 0, end: 4 } },
    { preColumns: { start: 4, end: 8 } },
    { keys: null },
    { keys: { start: 2, end: 5 } },
  ])('gives back what it holds before it loads another slice: %j', async (changes) => {
    const { kernels, released } = watchedKernels();
    const first = await load({}, null, kernels);
    const second = await load(changes, first.shard, kernels);
    expect(released).toEqual([first.shard.tables.layers[0]?.values, first.shard.tables.layers[0]?.pre]);
    expect(second.shard.slice).toMatchObject(changes);
    expect(second.shard.tables).not.toBe(first.shard.tables);
  });
});

describe('invalidAssignment', () => {
  it('takes what is inside, up to the end', () => {
    expect(invalidAssignment(assignment, geometry)).toBeNull();
    expect(
      invalidAssignment({ ...assignment, rows: { start: 0, end: geometry.tableRows }, keys: null }, geometry),
    ).toBeNull();
    expect(invalidAssignment({ ...assignment, preColumns: { start: 8, end: 8 } }, geometry)).toBeNull();
  });

  it.each([
    [{ rows: { start: 0, end: 37 } }, 'rows end at 37, but the table has 36'],
    [{ rows: { start: 5, end: 4 } }, 'rows end at 4'],
    [{ columns: { start: 0, end: 9 } }, 'columns end at 9, but values have 8'],
    [{ preColumns: { start: 0, end: 9 } }, 'pre-value columns end at 9, but there are 8'],
    [{ keys: { start: 0, end: 7 } }, 'keys end at 7, but an axis has 6'],
  ])('says why not: %j', (changes, reason) => {
    expect(invalidAssignment({ ...assignment, ...changes }, geometry)).toContain(reason);
  });
});
