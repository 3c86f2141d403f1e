import { assert } from '@ultramem/invariant';
import type { ByteSource, CheckpointDirectory } from './byte-source.ts';
import { invalidCheckpoint, quoteName } from './invalid-checkpoint.ts';
import { readSafetensorsHeader, type TensorEntry } from './safetensors-header.ts';
import type { FilePlace } from './tensor-source.ts';

export const SINGLE_FILE = 'model.safetensors';
export const INDEX_FILE = 'model.safetensors.index.json';

/** A tensor where it lies; the dtype may be one that this runtime cannot use. */
export interface StoredTensor {
  readonly entry: TensorEntry;
  /** The file's name with its directory. */
  readonly fileName: string;
  readonly file: FilePlace | null;
  /** Bytes `first .. first + byteCount - 1` of the tensor, 8-byte aligned, the caller's own. */
  read(first: number, byteCount: number): Promise<Uint8Array>;
}

/**
 * Opens the single file, or every file of the index, and reads their headers. Opened files are added to `opened` as
 * they are opened, so that the caller can close them whatever happens. Null when there is neither.
 *
 * @throws OperatingError CHECKPOINT_INVALID for a bad header or an index that disagrees with the files.
 */
export async function openStoredTensors(
  directory: CheckpointDirectory,
  opened: ByteSource[],
): Promise<Map<string, StoredTensor> | null> {
  const single = await directory.open(SINGLE_FILE);
  if (single !== null) {
    opened.push(single);
    return new Map((await tensorsOf(single)).map((tensor) => [tensor.entry.name, tensor]));
  }
  const indexText = await directory.readText(INDEX_FILE);
  if (indexText === null) return null;
  return openIndexed(directory, parseWeightMap(`${directory.name}/${INDEX_FILE}`, indexText), opened);
}

async function openIndexed(
  directory: CheckpointDirectory,
  weightMap: ReadonlyMap<string, string>,
  opened: ByteSource[],
): Promise<Map<string, StoredTensor>> {
  const indexName = `${directory.name}/${INDEX_FILE}`;
  const tensors = new Map<string, StoredTensor>();
  for (const file of [...new Set(weightMap.values())].sort()) {
    const source = await directory.open(file);
    if (source === null)
      throw invalidCheckpoint(
        `${indexName} names the file ${quoteName(file)}, which is missing`,
        'it beside the index',
      );
    opened.push(source);
    for (const tensor of await tensorsOf(source)) {
      const { name } = tensor.entry;
      if (weightMap.get(name) !== file)
        throw invalidCheckpoint(
          `${source.name} holds tensor ${quoteName(name)}, which ${indexName} does not place there`,
          'an index that lists every tensor where it is',
        );
      tensors.set(name, tensor);
    }
  }
  for (const [name, file] of weightMap)
    if (!tensors.has(name))
      throw invalidCheckpoint(
        `${indexName} places tensor ${quoteName(name)} in ${quoteName(file)}, which does not hold it`,
        'an index that lists every tensor where it is',
      );
  return tensors;
}

async function tensorsOf(source: ByteSource): Promise<StoredTensor[]> {
  const { tensors, dataOffset } = await readSafetensorsHeader(source);
  return tensors.map((entry) => ({
    entry,
    fileName: source.name,
    file: source.path === null ? null : { path: source.path, offset: dataOffset + entry.begin },
    read: async (first, byteCount) => {
      assert(
        first >= 0 && byteCount >= 0 && first + byteCount <= entry.end - entry.begin,
        `${entry.name} is read inside its bounds`,
      );
      return source.read(dataOffset + entry.begin + first, byteCount);
    },
  }));
}

function parseWeightMap(indexName: string, text: string): Map<string, string> {
  const expected = 'an object whose weight_map gives each tensor its file';
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalidCheckpoint(`${indexName} is not JSON`, expected, undefined, cause);
  }
  const map = typeof json === 'object' && json !== null && 'weight_map' in json ? json.weight_map : undefined;
  if (typeof map !== 'object' || map === null || Array.isArray(map))
    throw invalidCheckpoint(`${indexName} has no weight_map`, expected);
  // A path could lead out of the directory.
  for (const [name, file] of Object.entries(map))
    if (typeof file !== 'string' || !/^[\w][\w.-]*$/.test(file))
      throw invalidCheckpoint(
        `${indexName} places tensor ${quoteName(name)} in ${JSON.stringify(file).slice(0, 120)}`,
        'the name of a file beside the index',
      );
  return new Map(Object.entries(map));
}
