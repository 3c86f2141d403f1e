import { OperatingError } from '@ultramem/invariant';
import type { ModelConfig } from './model-config.ts';

/** Memory layer number n (its place in the list) reads the MLP input of block `readBlock`; its output is added after block `writeBlock`. */
export interface Insertion {
  readBlock: number;
  writeBlock: number;
}

/**
 * The entries of `mem_insert_way` in memory layer order (SEMANTICS section 3).
 *
 * @throws OperatingError CONFIG_INVALID for anything but `full`, `no_mem` or `r:w/r:w/...` with every r once and inside the model.
 */
export function parseInsertions(config: Pick<ModelConfig, 'memInsertWay' | 'nLayers'>): Insertion[] {
  const { memInsertWay: text, nLayers } = config;
  if (text === 'full')
    return Array.from({ length: nLayers }, (_, block) => ({ readBlock: block, writeBlock: block }));
  if (text === 'no_mem') return [];
  const expected = 'expected "full", "no_mem" or "r:w/r:w/..." with block numbers; correct it';
  const insertions = text.split('/').map((entry) => {
    const match = /^(\d+):(\d+)$/.exec(entry);
    if (!match)
      throw new OperatingError(
        'CONFIG_INVALID',
        `config.json: mem_insert_way has the entry ${JSON.stringify(entry)}; ${expected}`,
      );
    return { readBlock: Number(match[1]), writeBlock: Number(match[2]) };
  });
  const seen = new Set<number>();
  for (const { readBlock } of insertions) {
    if (readBlock >= nLayers)
      throw new OperatingError(
        'CONFIG_INVALID',
        `config.json: mem_insert_way reads block ${readBlock}, but n_layers is ${nLayers}; expected a block of 0 to ${nLayers - 1}; correct it`,
      );
    if (seen.has(readBlock))
      throw new OperatingError(
        'CONFIG_INVALID',
        `config.json: mem_insert_way reads block ${readBlock} twice; expected each block once; correct it`,
      );
    seen.add(readBlock);
  }
  return insertions;
}

/**
 * Which memory layer's output, if any, is added after each block: entry i is a memory layer number or null.
 *
 * The reference keeps a single pending output, so a read replaces one that still waits (SEMANTICS section 3): in
 * "1:3/3:5" the first layer's output is lost. The pending pair is never cleared, but no later block has its number again.
 */
export function writesByBlock(insertions: readonly Insertion[], nLayers: number): (number | null)[] {
  let pending: { layer: number; writeBlock: number } | null = null;
  return Array.from({ length: nLayers }, (_, block) => {
    const layer = insertions.findIndex((insertion) => insertion.readBlock === block);
    if (layer >= 0) pending = { layer, writeBlock: insertions[layer].writeBlock };
    return pending?.writeBlock === block ? pending.layer : null;
  });
}
