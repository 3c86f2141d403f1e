import { OperatingError, present } from '@ultramem/invariant';
import {
  type MemoryGeometry,
  type ModelConfig,
  memoryGeometry,
  parseModelConfig,
  type V1Constants,
} from '@ultramem/ultramem';
import type { ByteSource, CheckpointDirectory } from './byte-source.ts';
import { type ExpectedTensor, expectedTensors } from './expected-tensors.ts';
import { fingerprint } from './fingerprint.ts';
import { invalidCheckpoint, quoteName } from './invalid-checkpoint.ts';
import { INDEX_FILE, openStoredTensors, SINGLE_FILE, type StoredTensor } from './stored-tensors.ts';
import { DTYPE_BYTES, type DType, rowByteCount, type TensorSource } from './tensor-source.ts';
import { deriveV1Constants } from './v1-constants.ts';

const CONFIG_FILE = 'config.json';
/** Names in a message about missing tensors. */
const NAMED_MAX = 4;

/** An open checkpoint whose names, shapes and dtypes have been checked. */
export interface Checkpoint {
  /** The directory's. */
  readonly name: string;
  readonly config: ModelConfig;
  /** Null without memory layers. */
  readonly geometry: MemoryGeometry | null;
  readonly v1: V1Constants;
  /** @throws OperatingError CHECKPOINT_INVALID when there is no such tensor or its dtype is of no use here. */
  tensor(name: string): TensorSource;
  has(name: string): boolean;
  /** Every tensor of a usable dtype by name, also the unexpected. */
  readonly tensors: ReadonlyMap<string, TensorSource>;
  /** Equal for equal models, see `fingerprint`; the same for every choice of `parts`. */
  readonly fingerprint: string;
  /** Names of tensors that no part of the model reads. */
  readonly unexpected: readonly string[];
  close(): Promise<void>;
}

/**
 * Opens `config.json` with `model.safetensors` or the files of `model.safetensors.index.json` and checks them against each
 * other (SEMANTICS sections 10 and 11). No values are read but the fingerprint's sample.
 *
 * @param options.parts `memory`: the transformer around the memory may be missing, as workers need none
 * @throws OperatingError CHECKPOINT_NOT_FOUND, CHECKPOINT_INVALID, CHECKPOINT_READ_FAILED, CONFIG_INVALID
 */
export async function openCheckpoint(
  directory: CheckpointDirectory,
  options: { parts: 'all' | 'memory' },
): Promise<Checkpoint> {
  const opened: ByteSource[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((source) => source.close()));
  };
  try {
    const configText = await directory.readText(CONFIG_FILE);
    const stored = configText === null ? null : await openStoredTensors(directory, opened);
    if (configText === null || stored === null) throw notFound(directory, configText === null);
    const config = parseModelConfig(parseConfigJson(directory, configText));
    const v1 = deriveV1Constants(stored, config);
    const geometry = memoryGeometry(config, v1);
    const expected = expectedTensors(config, geometry);
    checkTensors(
      directory,
      stored,
      options.parts === 'all' ? expected : expected.filter((e) => e.part === 'memory'),
    );
    const known = new Set(expected.map((tensor) => tensor.name));
    const tensors = usableTensors(stored, expected);
    return {
      name: directory.name,
      config,
      geometry,
      v1,
      tensor: (name) => tensors.get(name) ?? refuseTensor(directory, name, stored.get(name)),
      has: (name) => stored.has(name),
      tensors,
      fingerprint: await fingerprint(configText, stored.values()),
      unexpected: [...stored.keys()].filter((name) => !known.has(name)),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function parseConfigJson(directory: CheckpointDirectory, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new OperatingError(
      'CONFIG_INVALID',
      `${directory.name}/${CONFIG_FILE} is not JSON; expected the model section of the reference as a JSON object; correct it`,
      { cause },
    );
  }
}

function checkTensors(
  directory: CheckpointDirectory,
  stored: ReadonlyMap<string, StoredTensor>,
  expected: readonly ExpectedTensor[],
): void {
  const missing = expected.filter(({ name }) => !stored.has(name)).map(({ name }) => name);
  if (missing.length > 0)
    throw invalidCheckpoint(
      `${directory.name}: ${missing.length} of ${expected.length} tensors are missing: ${missing.slice(0, NAMED_MAX).join(', ')}${missing.length > NAMED_MAX ? ', ...' : ''}`,
      'every tensor that config.json calls for',
      'take the config.json that belongs to this checkpoint, or export it again',
    );
  for (const { name, shape: shapeOfNumbers, dtypes: dtypesOfNumbers } of expected) {
    const { entry, fileName } = present(stored.get(name), 'missing tensors were refused above');
    const { shape, dtypes } = storedAs(shapeOfNumbers, dtypesOfNumbers);
    if (!dtypes.some((dtype) => dtype === entry.dtype))
      throw invalidCheckpoint(
        `${fileName}: tensor ${name} is ${entry.dtype}`,
        dtypes.join(' or '),
        'convert it',
      );
    if (shape.length !== entry.shape.length || shape.some((size, axis) => size !== entry.shape[axis]))
      throw invalidCheckpoint(
        `${fileName}: tensor ${name} has the shape [${entry.shape.join(', ')}]`,
        `[${shape.join(', ')}] from config.json`,
        'take the config.json that belongs to this checkpoint',
      );
  }
}

/** What a file must say of a tensor: rows of block-scaled int8 are bytes to it. */
function storedAs(
  shape: readonly number[],
  dtypes: readonly DType[],
): { shape: readonly number[]; dtypes: readonly string[] } {
  if (!dtypes.includes('INT8_BLOCK64')) return { shape, dtypes };
  const [rowCount, width] = shape as [number, number];
  return { shape: [rowCount, rowByteCount('INT8_BLOCK64', { start: 0, end: width })], dtypes: ['U8'] };
}

function usableTensors(
  stored: ReadonlyMap<string, StoredTensor>,
  expected: readonly ExpectedTensor[],
): Map<string, TensorSource> {
  const tensors = new Map<string, TensorSource>();
  for (const [name, { entry, file, read }] of stored)
    if (isUsable(entry.dtype))
      tensors.set(name, { name, dtype: entry.dtype, shape: entry.shape, file, read });
  for (const { name, shape, dtypes } of expected) {
    const held = stored.get(name);
    if (held !== undefined && dtypes.includes('INT8_BLOCK64'))
      tensors.set(name, { name, dtype: 'INT8_BLOCK64', shape, file: held.file, read: held.read });
  }
  return tensors;
}

function isUsable(dtype: string): dtype is keyof typeof DTYPE_BYTES {
  return Object.hasOwn(DTYPE_BYTES, dtype);
}

function refuseTensor(directory: CheckpointDirectory, name: string, stored: StoredTensor | undefined): never {
  if (stored === undefined)
    throw invalidCheckpoint(`${directory.name} has no tensor ${quoteName(name)}`, 'it to be there');
  throw invalidCheckpoint(
    `${stored.fileName}: tensor ${quoteName(name)} is ${stored.entry.dtype}`,
    `one of ${Object.keys(DTYPE_BYTES).join(', ')}`,
    'convert it',
  );
}

function notFound(directory: CheckpointDirectory, lacksConfig: boolean): OperatingError {
  const lacking = lacksConfig ? CONFIG_FILE : `neither ${SINGLE_FILE} nor ${INDEX_FILE}`;
  return new OperatingError(
    'CHECKPOINT_NOT_FOUND',
    `${directory.name} has ${lacksConfig ? 'no ' : ''}${lacking}; expected a directory with ${CONFIG_FILE} and ${SINGLE_FILE} (or ${INDEX_FILE}); check the path`,
  );
}
