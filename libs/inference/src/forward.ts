import type { Clock } from '@ultramem/environment';
import { present } from '@ultramem/invariant';
import type { Kernels } from '@ultramem/kernels';
import { attention } from './attention.ts';
import { type Batch, layOutBatch, type SequenceStep } from './batch.ts';
import { applyLinear } from './linear.ts';
import type { MemoryLayer } from './load-memory-layers.ts';
import type { DenseModel } from './load-model.ts';
import { beginLookup, finishLookup } from './memory-layer.ts';
import type { MemoryLookup } from './memory-lookup.ts';
import { createPendingLookups, type LookupTiming } from './pending-lookups.ts';
import { evenEntryStart } from './select-slots.ts';

/** A model ready to run: weights, the tables behind its memory layers, and what computes with them. */
export interface Model {
  dense: DenseModel;
  memoryLayers: readonly MemoryLayer[];
  lookUp: MemoryLookup;
  kernels: Kernels;
  clock: Clock;
}

export interface ForwardStep {
  /** New tokens of each sequence, at least one; any lengths. Their caches grow by them when the pass succeeds. */
  sequences: readonly SequenceStep[];
  /** Logits after the last new token of each sequence, or after every new token. */
  logits: 'last' | 'all';
  /** Keep the residual stream before every block and after the final norm (default false). */
  captureHidden?: boolean;
  /** False takes the memory layers' outputs as zero and looks nothing up (default true). */
  withMemory?: boolean;
}

export interface ForwardResult {
  logits: Float32Array; // [sequences or all new tokens, embeddingSize]
  /** Input of each block (the memory output of the block before is in it), then the output of the final norm; empty unless captured. */
  hidden: Float32Array[]; // nLayers + 1 of [new tokens, dModel]
  timing: LookupTiming;
}

/**
 * One pass over the new tokens of a ragged batch (SEMANTICS sections 2 and 3). When it rejects, no lookup is under way any
 * more and the caches are as long as before.
 *
 * @throws OperatingError TOKEN_OUT_OF_RANGE, CONTEXT_TOO_LONG; whatever a lookup is rejected with
 */
export async function forward(model: Model, step: ForwardStep): Promise<ForwardResult> {
  const { dense, kernels, memoryLayers } = model;
  const { config } = dense;
  const { dModel, normAfter } = config;
  const withMemory = step.withMemory ?? true;
  const batch = layOutBatch(config, step.sequences);
  const lookups = createPendingLookups(model.clock);
  const memoryInput = new Map<number, Float32Array>();
  const hidden: Float32Array[] = [];
  const x = await embed(kernels, dense, batch); // the residual stream, [rowCount, dModel]
  try {
    for (const [i, block] of dense.blocks.entries()) {
      if (step.captureHidden) hidden.push(x.slice());
      const a = normAfter ? x : await kernels.normalise(block.attentionNorm, x, dModel);
      const qkv = await applyLinear(kernels, block.attProj, a, batch.rowCount);
      const attended = await attention(kernels, dense, i, batch, qkv);
      const att = await applyLinear(kernels, block.attnOut, attended, batch.rowCount);
      await kernels.addInto(x, normAfter ? await kernels.normalise(block.attentionNorm, att, dModel) : att);

      const h = normAfter ? x.slice() : await kernels.normalise(block.ffNorm, x, dModel);
      if (block.reads !== null && withMemory) {
        const memoryLayer = memoryLayers[block.reads];
        memoryInput.set(block.reads, h);
        lookups.start(block.reads, () => beginLookup(kernels, memoryLayer, model.lookUp, h));
      }
      const y = await kernels.feedForward(block.feedForward, h, batch.rowCount);
      await kernels.addInto(x, normAfter ? await kernels.normalise(block.ffNorm, y, dModel) : y);

      if (block.writes !== null && withMemory) {
        const answer = await lookups.finish(block.writes);
        await kernels.addInto(
          x,
          await finishLookup(
            kernels,
            memoryLayers[block.writes],
            present(memoryInput.get(block.writes), 'what is written was read'),
            answer,
          ),
        );
      }
      await model.clock.breathe();
    }
    if (step.captureHidden) hidden.push(await kernels.normalise(dense.finalNorm, x, dModel));
    const logits = await project(model, step.logits === 'all' ? x : lastRows(x, batch, dModel));
    for (const { cache, rowCount } of batch.sequences) cache.length += rowCount;
    return { logits, hidden, timing: lookups.timing };
  } finally {
    await lookups.settle();
  }
}

/** Embedding rows plus what section 2.1 adds; a gather with weight 1 leaves the stored numbers as they are. */
async function embed(kernels: Kernels, dense: DenseModel, batch: Batch): Promise<Float32Array> {
  const { rowCount } = batch;
  const { dModel } = dense.config;
  const gathered = await kernels.pool(dense.embedding, {
    tokenCount: rowCount,
    entryStart: evenEntryStart(rowCount, 1),
    slot: batch.tokenIds,
    block: new Uint8Array(rowCount),
    blockCount: 1,
    weight: new Float32Array(rowCount).fill(1),
    coreCount: 1,
    pre: null,
  });
  const x =
    dense.embeddingNorm === null ? gathered : await kernels.normalise(dense.embeddingNorm, gathered, dModel);
  const { positions } = dense;
  if (positions !== null)
    for (let row = 0; row < rowCount; row++)
      for (let i = 0; i < dModel; i++) x[row * dModel + i] += positions[batch.positions[row] * dModel + i];
  return x;
}

/** Final norm and logits of `[rows, dModel]` (SEMANTICS 2.3). */
async function project({ dense, kernels }: Model, x: Float32Array): Promise<Float32Array> {
  const { dModel, scaleLogits } = dense.config;
  const logits = await applyLinear(
    kernels,
    dense.head,
    await kernels.normalise(dense.finalNorm, x, dModel),
    x.length / dModel,
  );
  if (scaleLogits) for (let i = 0; i < logits.length; i++) logits[i] /= Math.sqrt(dModel);
  return logits;
}

function lastRows(x: Float32Array, batch: Batch, width: number): Float32Array {
  const rows = new Float32Array(batch.sequences.length * width);
  for (const [number, { firstRow, rowCount }] of batch.sequences.entries()) {
    const last = (firstRow + rowCount - 1) * width;
    rows.set(x.subarray(last, last + width), number * width);
  }
  return rows;
}
