import type { TensorSource } from '@ultramem/checkpoint';
import { assert } from '@ultramem/invariant';
import { type KeyTable, loadReferenceKeys, type Norm, type ReferenceKeys } from '@ultramem/kernels';
import { type CollapseVectors, type Range, rangeLength, SIDES } from '@ultramem/ultramem';
import { type FoldedKeys, foldKeys } from './fold-keys.ts';
import type { Gpu, Region } from './gpu.ts';

/** Lists `first .. first + count - 1` of the folded keys in one buffer. */
export interface FoldedPart {
  region: Region;
  first: number;
  count: number;
}

/**
 * Normalised keys on the host, where survivors are scored exactly, and folded keys on the device, made when the vectors they are folded
 * by are first known: those belong to the model, so that this happens once.
 */
export class WebgpuKeys implements KeyTable {
  readonly exact: ReferenceKeys;
  readonly #gpu: Gpu;
  readonly #partBytes: number;
  #collapse: CollapseVectors | null = null;
  #folded: FoldedKeys | null = null;
  #parts: FoldedPart[] = [];

  constructor(gpu: Gpu, partBytes: number, exact: ReferenceKeys) {
    this.#gpu = gpu;
    this.#partBytes = partBytes;
    this.exact = exact;
  }

  get headCount(): number {
    return this.exact.headCount;
  }

  get range(): Range {
    return this.exact.range;
  }

  get width(): number {
    return this.exact.width;
  }

  get rank(): number {
    return this.exact.rank;
  }

  /** The keys of one head and side fit a buffer of the device. */
  get fitsDevice(): boolean {
    return 4 * rangeLength(this.range) * this.width <= this.#partBytes;
  }

  /** With room for the folded keys. */
  get residentBytes(): number {
    return this.exact.residentBytes * (1 + 1 / this.rank);
  }

  release(): void {
    this.exact.release();
    this.#drop();
  }

  folded(collapse: CollapseVectors): { folded: FoldedKeys; parts: FoldedPart[] } {
    if (this.#folded === null || !isSame(this.#collapse, collapse)) {
      this.#drop();
      this.#collapse = { row: collapse.row.slice(), column: collapse.column.slice() };
      this.#folded = foldKeys(this.exact, collapse);
      this.#send(this.#folded.vectors);
      this.#folded.vectors = new Float32Array(0); // the device has them
    }
    return { folded: this.#folded, parts: this.#parts };
  }

  #send(vectors: Float32Array): void {
    const lists = this.headCount * SIDES;
    const listFloats = rangeLength(this.range) * this.width;
    const perPart = Math.floor(this.#partBytes / 4 / listFloats);
    assert(perPart > 0, 'folded keys go to a device that they fit');
    for (let first = 0; first < lists; first += perPart) {
      const count = Math.min(perPart, lists - first);
      const floats = vectors.subarray(first * listFloats, (first + count) * listFloats);
      const region = {
        buffer: this.#gpu.buffers.create(floats.byteLength),
        offset: 0,
        size: floats.byteLength,
      };
      this.#gpu.device.queue.writeBuffer(region.buffer, 0, floats as Float32Array<ArrayBuffer>);
      this.#parts.push({ region, first, count });
    }
  }

  #drop(): void {
    for (const { region } of this.#parts) this.#gpu.buffers.destroy(region.buffer);
    this.#parts = [];
    this.#folded = null;
  }
}

export async function loadKeys(
  gpu: Gpu,
  partBytes: number,
  source: TensorSource,
  range: Range,
  norm: Norm | null,
): Promise<WebgpuKeys> {
  return new WebgpuKeys(gpu, partBytes, await loadReferenceKeys(source, range, norm));
}

/** The keys behind a handle of this backend. */
export function ownKeys(handle: KeyTable): WebgpuKeys {
  assert(handle instanceof WebgpuKeys, 'a key table is used by the backend that loaded it');
  return handle;
}

function isSame(a: CollapseVectors | null, b: CollapseVectors): boolean {
  return a !== null && sameBits(a.row, b.row) && sameBits(a.column, b.column);
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((x, i) => Object.is(x, b[i]));
}
