import { assert } from '@ultramem/invariant';
import type { ByteSource } from './byte-source.ts';
import { invalidCheckpoint, quoteName } from './invalid-checkpoint.ts';
import { repeatedKey } from './repeated-key.ts';
import { decodeUtf8 } from './utf8.ts';

/** The format's own limit; a longer header is a corrupt length. */
const HEADER_BYTES_MAX = 100_000_000;

/** Bits of an element. Types this runtime cannot use are known too, so that they spoil only the tensor that has them. */
const DTYPE_BITS = new Map(
  Object.entries({
    ...{ F4: 4, F6_E2M3: 6, F6_E3M2: 6, BOOL: 8, U8: 8, I8: 8, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8 },
    ...{ F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, I16: 16, U16: 16, F16: 16, BF16: 16, I32: 32, U32: 32, F32: 32 },
    ...{ C64: 64, F64: 64, I64: 64, U64: 64 },
  }),
);

/** One tensor as its file describes it; `begin .. end - 1` are bytes of the data part. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** In the order of their data. */
  tensors: TensorEntry[];
  metadata: Record<string, string>;
  /** Where the data part starts in the file. */
  dataOffset: number;
}

/**
 * Reads and checks a file's header: u64 length, JSON of that length, data.
 *
 * @throws OperatingError CHECKPOINT_INVALID, see `parseSafetensorsHeader`.
 */
export async function readSafetensorsHeader(source: ByteSource): Promise<SafetensorsHeader> {
  if (source.byteCount < 8)
    throw invalidCheckpoint(`${source.name} has ${source.byteCount} bytes`, 'the 8 bytes of a header length');
  const prefix = await source.read(0, 8);
  const headerBytes = Number(new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true));
  if (headerBytes > HEADER_BYTES_MAX)
    throw invalidCheckpoint(
      `${source.name} gives its header ${headerBytes} bytes`,
      `at most ${HEADER_BYTES_MAX}`,
      'check that it is a safetensors file',
    );
  if (8 + headerBytes > source.byteCount)
    throw invalidCheckpoint(
      `${source.name} gives its header ${headerBytes} bytes, but the file has only ${source.byteCount}`,
      'a header inside the file',
    );
  return parseSafetensorsHeader(source.name, await source.read(8, headerBytes), source.byteCount);
}

/**
 * Checks the JSON header of a safetensors file completely: afterwards every tensor has a known dtype, a shape that fits
 * its bytes, and the tensors cover the data part without overlap, hole or rest.
 *
 * @param header the JSON alone, without the length before it
 * @throws OperatingError CHECKPOINT_INVALID naming the file and the tensor.
 */
export function parseSafetensorsHeader(
  fileName: string,
  header: Uint8Array,
  fileByteCount: number,
): SafetensorsHeader {
  const dataOffset = 8 + header.byteLength;
  assert(dataOffset <= fileByteCount, 'the header lies inside the file');
  const json = parseJsonObject(fileName, header);
  const { __metadata__: metadata, ...described } = json;
  const tensors = Object.entries(described).map(([name, value]) => parseEntry(fileName, name, value));
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCoverage(fileName, tensors, fileByteCount - dataOffset);
  return { tensors, metadata: parseMetadata(fileName, metadata), dataOffset };
}

function parseJsonObject(fileName: string, header: Uint8Array): Record<string, unknown> {
  const expected = 'a JSON object with an entry for each tensor';
  let text: string;
  let json: unknown;
  try {
    text = decodeUtf8(header);
    json = JSON.parse(text);
  } catch (cause) {
    throw invalidCheckpoint(`the header of ${fileName} is not JSON`, expected, undefined, cause);
  }
  if (!isObject(json)) throw invalidCheckpoint(`the header of ${fileName} is not an object`, expected);
  const repeated = repeatedKey(text);
  if (repeated !== null)
    throw invalidCheckpoint(
      `the header of ${fileName} has the key ${quoteName(repeated)} twice`,
      'each key once',
    );
  return json;
}

function parseEntry(fileName: string, name: string, value: unknown): TensorEntry {
  const where = `${fileName}: tensor ${quoteName(name)}`;
  if (!isObject(value))
    throw invalidCheckpoint(`${where} is not described by an object`, 'its dtype, shape and data_offsets');
  const { dtype, shape, data_offsets: offsets } = value;
  const bits = typeof dtype === 'string' ? DTYPE_BITS.get(dtype) : undefined;
  if (typeof dtype !== 'string' || bits === undefined)
    throw invalidCheckpoint(
      `${where} has the dtype ${quoteJson(dtype)}`,
      'a dtype of the safetensors format',
    );
  if (!isCountList(shape))
    throw invalidCheckpoint(
      `${where} has the shape ${quoteJson(shape)}`,
      'a list of whole numbers of at least 0',
    );
  if (!isCountList(offsets) || offsets.length !== 2)
    throw invalidCheckpoint(
      `${where} has the data_offsets ${quoteJson(offsets)}`,
      'two whole numbers of at least 0',
    );
  const [begin, end] = offsets as [number, number];
  if (begin > end)
    throw invalidCheckpoint(
      `${where} begins at byte ${begin} and ends at ${end}`,
      'an end that is not before its begin',
    );
  const spanBits = shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, bits);
  if (spanBits !== (end - begin) * 8)
    throw invalidCheckpoint(
      `${where} of dtype ${dtype} and shape ${quoteJson(shape)} has ${end - begin} bytes of data`,
      `${spanBits / 8} bytes`,
    );
  return { name, dtype, shape, begin, end };
}

/** Offsets count from the start of the data part, so they are held against its size and not the file's. */
function checkCoverage(fileName: string, tensors: readonly TensorEntry[], dataByteCount: number): void {
  let covered = 0;
  let previous = '';
  for (const { name, begin, end } of tensors) {
    const where = `${fileName}: tensor ${quoteName(name)}`;
    if (end > dataByteCount)
      throw invalidCheckpoint(
        `${where} ends at byte ${end} of the data, but the file has only ${dataByteCount} bytes of it`,
        'a complete file',
        'copy it again, it was probably cut off',
      );
    if (begin < covered)
      throw invalidCheckpoint(
        `${where} overlaps tensor ${quoteName(previous)}`,
        'tensors one behind the other',
      );
    if (begin > covered)
      throw invalidCheckpoint(
        `${where} has ${begin - covered} unused bytes before it`,
        'tensors without holes',
      );
    covered = end;
    previous = name;
  }
  if (covered < dataByteCount)
    throw invalidCheckpoint(
      `${fileName} has ${dataByteCount - covered} bytes behind its last tensor`,
      'a file that ends with its last tensor',
    );
}

function parseMetadata(fileName: string, metadata: unknown): Record<string, string> {
  if (metadata === undefined) return {};
  const isText = isObject(metadata) && Object.values(metadata).every((value) => typeof value === 'string');
  if (!isText) throw invalidCheckpoint(`${fileName}: __metadata__ is not a map of strings`, 'strings only');
  return metadata as Record<string, string>;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCountList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function quoteJson(value: unknown): string {
  return value === undefined ? 'undefined' : JSON.stringify(value).slice(0, 120);
}
