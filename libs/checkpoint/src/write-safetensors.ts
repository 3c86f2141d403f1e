import { DTYPE_BYTES } from './tensor-source.ts';
import { encodeUtf8 } from './utf8.ts';

/** The format asks for a multiple of 8. Rows that begin on a cache line are read faster. */
const ALIGNMENT = 64;
const STORED_BYTES = { ...DTYPE_BYTES, U8: 1 };

/** What a tensor's header entry is made of. */
export interface TensorDescription {
  name: string;
  /** `U8` holds rows of block-scaled int8. */
  dtype: keyof typeof STORED_BYTES;
  shape: readonly number[];
}

export interface SafetensorsLayout {
  /** Length and JSON: the file's first bytes, whole cache lines. */
  header: Uint8Array;
  /** Where each tensor's data starts in the file, in the order of the entries. */
  offsets: number[];
  /** Of the whole file. */
  fileByteCount: number;
}

/**
 * The header of a safetensors file whose data follows in the order of `entries`, without gaps. Give wide dtypes first
 * to keep every tensor aligned to its element.
 */
export function safetensorsHeader(
  entries: readonly TensorDescription[],
  metadata?: Readonly<Record<string, string>>,
): SafetensorsLayout {
  const json: Record<string, unknown> = metadata === undefined ? {} : { __metadata__: metadata };
  let end = 0;
  const begins = entries.map(({ name, dtype, shape }) => {
    const begin = end;
    end += shape.reduce((product, size) => product * size, STORED_BYTES[dtype]);
    json[name] = { dtype, shape, data_offsets: [begin, end] };
    return begin;
  });
  const text = encodeUtf8(JSON.stringify(json));
  const headerBytes = Math.ceil((8 + text.byteLength) / ALIGNMENT) * ALIGNMENT;
  const header = new Uint8Array(headerBytes).fill(0x20); // the format pads with spaces
  new DataView(header.buffer).setBigUint64(0, BigInt(headerBytes - 8), true);
  header.set(text, 8);
  return {
    header,
    offsets: begins.map((begin) => headerBytes + begin),
    fileByteCount: headerBytes + end,
  };
}
