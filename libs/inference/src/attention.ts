import type { Kernels } from '@ultramem/kernels';
import type { Batch } from './batch.ts';
import { reserve } from './kv-cache.ts';
import type { Block, DenseModel } from './load-model.ts';

/**
 * Steps 2 to 5 of SEMANTICS 2.2 after the projection: clamp, split, norm and rotate, put keys and values into the
 * caches, then attend in each sequence by itself.
 *
 * @param qkv `[tokens, dModel + 2 * kvHeads * headWidth]`
 * @returns `[tokens, dModel]`
 */
export async function attention(
  kernels: Kernels,
  model: DenseModel,
  blockNumber: number,
  batch: Batch,
  qkv: Float32Array,
): Promise<Float32Array> {
  const { nHeads, nKvHeads, dModel, clipQkv } = model.config;
  const block = model.blocks[blockNumber];
  const headWidth = dModel / nHeads;
  const kvWidth = nKvHeads * headWidth;
  if (clipQkv !== null)
    for (let i = 0; i < qkv.length; i++) qkv[i] = Math.min(clipQkv, Math.max(-clipQkv, qkv[i]));

  const rowWidth = dModel + 2 * kvWidth;
  const query = await headVectors(kernels, model, block.queryNorm, batch, split(qkv, rowWidth, 0, dModel));
  const key = await headVectors(kernels, model, block.keyNorm, batch, split(qkv, rowWidth, dModel, kvWidth));
  const value = split(qkv, rowWidth, dModel + kvWidth, kvWidth);

  const sequences = batch.sequences.map(({ cache, firstRow, rowCount }) => {
    const keyCount = cache.length + rowCount;
    const { keys, values } = reserve(cache, blockNumber, keyCount, kvWidth);
    keys.set(key.subarray(firstRow * kvWidth, (firstRow + rowCount) * kvWidth), cache.length * kvWidth);
    values.set(value.subarray(firstRow * kvWidth, (firstRow + rowCount) * kvWidth), cache.length * kvWidth);
    return { keys, values, queryCount: rowCount, keyCount };
  });
  const { alibiSlopes } = model;
  return kernels.attend({
    query,
    sequences,
    headCount: nHeads,
    kvHeadCount: nKvHeads,
    headWidth,
    alibiSlopes,
  });
}

/** Norm of each head's vector, then its rotation to the token's position. */
async function headVectors(
  kernels: Kernels,
  model: DenseModel,
  norm: Block['queryNorm'],
  batch: Batch,
  x: Float32Array,
): Promise<Float32Array> {
  const headWidth = model.config.dModel / model.config.nHeads;
  const vectors = norm === null ? x : await kernels.normalise(norm, x, headWidth);
  if (model.rope !== null) await kernels.rotate(model.rope, vectors, batch.positions);
  return vectors;
}

/** Columns `start .. start + width - 1` of every row. */
function split(x: Float32Array, rowWidth: number, start: number, width: number): Float32Array {
  const part = new Float32Array((x.length / rowWidth) * width);
  for (let row = 0, at = 0; row < x.length; row += rowWidth, at += width)
    part.set(x.subarray(row + start, row + start + width), at);
  return part;
}
