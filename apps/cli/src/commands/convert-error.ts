import { type Checkpoint, floatSource, type TensorSource, toFloat32 } from '@ultramem/checkpoint';
import { createRandom, type Random } from '@ultramem/environment';
import { present } from '@ultramem/invariant';

/** Pooled vectors that are compared. */
const LOOKUPS = 64;

/**
 * What a conversion does to pooled vectors: of seeded lookups of as many random rows as a token selects, with weights of a normal
 * distribution, the length of the difference over the length of the vector, both root mean squares. Per table, the largest first.
 */
export async function pooledError(
  before: Checkpoint,
  after: Checkpoint,
  rowsPerLookup: number,
): Promise<{ table: string; relativeError: number }[]> {
  const tables = [...after.tensors.values()].filter(({ dtype }) => dtype === 'INT8_BLOCK64');
  const errors: { table: string; relativeError: number }[] = [];
  for (const table of tables) {
    const random = createRandom(1);
    const original = present(before.tensors.get(table.name), 'both have the same tables');
    errors.push({
      table: table.name,
      relativeError: await relativeError(original, table, rowsPerLookup, random),
    });
  }
  return errors.sort((a, b) => b.relativeError - a.relativeError);
}

async function relativeError(
  before: TensorSource,
  after: TensorSource,
  rowsPerLookup: number,
  random: Random,
): Promise<number> {
  const [rowCount, width] = before.shape as [number, number];
  let difference = 0;
  let length = 0;
  for (let lookup = 0; lookup < LOOKUPS; lookup++) {
    const picked = Array.from({ length: rowsPerLookup }, () => ({
      row: random.uint32() % rowCount,
      weight: random.normal(),
    }));
    const [exact, rounded] = await Promise.all(
      [before, after].map((table) => sumRows(floatSource(table), picked, width)),
    );
    for (let c = 0; c < width; c++) {
      difference += (rounded[c] - exact[c]) ** 2;
      length += exact[c] ** 2;
    }
  }
  return length === 0 ? 0 : Math.sqrt(difference / length);
}

async function sumRows(
  table: ReturnType<typeof floatSource>,
  picked: readonly { row: number; weight: number }[],
  width: number,
): Promise<Float64Array> {
  const rows = await Promise.all(
    picked.map(async ({ row }) => {
      const elementBytes = table.dtype === 'F32' ? 4 : 2;
      const bytes = await table.read(row * width * elementBytes, width * elementBytes);
      return toFloat32(table.dtype, bytes);
    }),
  );
  const sums = new Float64Array(width);
  rows.forEach((row, i) => {
    for (let c = 0; c < width; c++) sums[c] += picked[i].weight * row[c];
  });
  return sums;
}
