import { assert, OperatingError } from '@ultramem/invariant';
import {
  type Addressing,
  type AddressRequest,
  assertCores,
  assertGrid,
  assertScores,
  type GridRequest,
  type Kernels,
  type KeyTable,
  readNormalisedKeys,
  type ScoreRequest,
  type SelectedSlots,
  type SelectRequest,
  softmax,
} from '@ultramem/kernels';
import {
  addressValues,
  type Candidates,
  type Range,
  rangeLength,
  type Selection,
  SIDES,
  type ValueAddresses,
  virtualValueCount,
} from '@ultramem/ultramem';
import type { Addon, Engine, NativeHandle, Pending } from './load-addon.ts';
import { Resident } from './resident.ts';
import { unwritten } from './unwritten.ts';

type KeysHandle = NativeHandle<'keys'>;

/** `keys, query, tokenCount, groupCount, groupOfHead, row, column, k` of a call. */
type ScoreArguments = [
  KeysHandle,
  Float32Array,
  number,
  number,
  Uint32Array,
  Float32Array,
  Float32Array,
  number,
];
/** `shuffle, virtualCount, windowRows, tableRows, offset, slot, block` of a call. */
type AddressArguments = [Uint32Array | null, number, number, number, number, Uint32Array, Uint8Array | null];
/** `virtualIndex, scores, rankScore, sums`. */
type WinnerArguments = [Float64Array, Float32Array | null, Float32Array, Float64Array | null];

/** `native/addon/selection.cc`. */
export interface SelectionAddon {
  createKeys(headCount: number, keyCount: number, width: number, rank: number): KeysHandle;
  fillKeys(keys: KeysHandle, firstRow: number, rows: Float32Array): void;
  releaseKeys(keys: KeysHandle): void;
  keysBytes(keys: KeysHandle): number;
  scoreKeys(
    engine: Engine,
    ...rest: [...ScoreArguments, firstKey: number, Uint32Array, Float32Array]
  ): Pending;
  select(
    engine: Engine,
    ...rest: [
      ...ScoreArguments,
      cores: Float32Array | null,
      coreCount: number,
      ...WinnerArguments,
      ...([] | AddressArguments),
    ]
  ): Pending;
  selectGrid(
    engine: Engine,
    index: Uint32Array,
    refined: Float32Array,
    tokenCount: number,
    headCount: number,
    k: number,
    keyCount: number,
    rank: number,
    cores: Float32Array | null,
    coreCount: number,
    ...winners: WinnerArguments
  ): Pending;
  addressValues(engine: Engine, virtualIndex: Float64Array, ...rest: AddressArguments): Pending;
}

class NativeKeys extends Resident<KeysHandle> implements KeyTable {
  readonly headCount: number;
  readonly range: Range;
  readonly width: number;
  readonly rank: number;

  constructor(
    addon: Addon,
    handle: KeysHandle,
    shape: Pick<KeyTable, 'headCount' | 'range' | 'width' | 'rank'>,
  ) {
    super(handle, addon.keysBytes(handle), addon.releaseKeys);
    this.headCount = shape.headCount;
    this.range = shape.range;
    this.width = shape.width;
    this.rank = shape.rank;
  }
}

/** Scores in whole numbers with proven bounds; exact scores of what the bounds leave open. The reference's answers, to the last bit. */
export function selectionKernels(addon: Addon, engine: Engine) {
  return {
    loadKeys: async (source, range, norm) => {
      const { keys, headCount, width, rank } = await readNormalisedKeys(source, range, norm);
      const handle = addon.createKeys(headCount, rangeLength(range), width, rank);
      addon.fillKeys(handle, 0, keys);
      return new NativeKeys(addon, handle, { headCount, range, width, rank });
    },
    scoreKeys: (keys, request) => scoreKeys(addon, engine, ownKeys(keys), request),
    selectGrid: (request) => selectGrid(addon, engine, request),
    select: (keys, request) => select(addon, engine, ownKeys(keys), request),
    address: (request) => address(addon, engine, request),
  } satisfies Partial<Kernels>;
}

function ownKeys(keys: KeyTable): NativeKeys {
  assert(keys instanceof NativeKeys, 'a key table is used by the backend that loaded it');
  return keys;
}

async function scoreKeys(
  addon: Addon,
  engine: Engine,
  keys: NativeKeys,
  request: ScoreRequest,
): Promise<Candidates> {
  const { tokenCount } = request;
  const perSide = Math.min(request.k, rangeLength(keys.range));
  const call = scoreArguments(keys, request, perSide);
  const entries = tokenCount * keys.headCount * SIDES * perSide;
  const index = unwritten(Uint32Array, entries);
  const refined = unwritten(Float32Array, entries * keys.rank);
  if (entries > 0) await settled(() => addon.scoreKeys(engine, ...call, keys.range.start, index, refined));
  return { tokenCount, perSide, index, refined };
}

async function select(
  addon: Addon,
  engine: Engine,
  keys: NativeKeys,
  request: SelectRequest,
): Promise<SelectedSlots> {
  const { tokenCount, cores, coreCount, addressing } = request;
  const { headCount, rank } = keys;
  assert(keys.range.start === 0, 'whoever selects holds every key');
  const k = Math.min(request.k, rangeLength(keys.range));
  const call = scoreArguments(keys, request, k);
  assertCores(request, headCount, rank);
  const selection = unwrittenSelection(tokenCount, headCount * k, coreCount);
  const count = tokenCount * headCount * k;
  const addresses = unwrittenAddresses(count);
  const into = addressArguments(addressing, addresses);
  await winners(selection, k, cores, (...winner) =>
    addon.select(engine, ...call, cores, coreCount, ...winner, ...(into ?? [])),
  );
  const { geometry, layer, shuffle } = addressing;
  if (into === null)
    return { selection, addresses: addressValues(geometry, layer, selection.virtualIndex, shuffle) };
  return { selection, addresses };
}

async function selectGrid(addon: Addon, engine: Engine, request: GridRequest): Promise<Selection> {
  const { candidates, headCount, keyCount, rank, cores, coreCount } = request;
  const { tokenCount, perSide: k, index, refined } = candidates;
  assertGrid(request);
  const selection = unwrittenSelection(tokenCount, headCount * k, coreCount);
  return winners(selection, k, cores, (...into) =>
    addon.selectGrid(
      engine,
      index,
      refined,
      tokenCount,
      headCount,
      k,
      keyCount,
      rank,
      cores,
      coreCount,
      ...into,
    ),
  );
}

async function address(addon: Addon, engine: Engine, request: AddressRequest): Promise<ValueAddresses> {
  const { geometry, layer, virtualIndex, shuffle } = request;
  const addresses = unwrittenAddresses(virtualIndex.length);
  const into = addressArguments(request, addresses);
  if (into === null) return addressValues(geometry, layer, virtualIndex, shuffle);
  await settled(() => addon.addressValues(engine, virtualIndex, ...into));
  return addresses;
}

/** Null beyond 32 bits, where the native side does not go, nor does any table that fits a machine. */
function addressArguments(
  { geometry, layer, shuffle }: Addressing,
  { slot, block }: ValueAddresses,
): AddressArguments | null {
  const { windowRows, windowStride, tableRows, poolBlocks } = geometry;
  const virtualCount = virtualValueCount(geometry);
  if (shuffle instanceof Float64Array || virtualCount >= 2 ** 32) return null;
  const blockOrNone = poolBlocks > 1 ? block : null;
  return [shuffle, virtualCount, windowRows, tableRows, layer * windowStride, slot, blockOrNone];
}

/** Blocks are zero where there is only one. */
function unwrittenAddresses(count: number): ValueAddresses {
  return { block: new Uint8Array(count), slot: unwritten(Uint32Array, count) };
}

function scoreArguments(keys: NativeKeys, request: ScoreRequest, k: number): ScoreArguments {
  const { query, tokenCount, groupCount, groupOfHead, collapse } = request;
  assertScores(keys, request);
  return [keys.handle, query, tokenCount, groupCount, groupOfHead, collapse.row, collapse.column, k];
}

/** Fills the selection. Without cores the exact sums come back, because the softmax must use this engine's own `Math.exp`. */
async function winners(
  selection: Selection,
  k: number,
  cores: Float32Array | null,
  call: (...into: WinnerArguments) => Pending,
): Promise<Selection> {
  const { virtualIndex, scores, rankScore } = selection;
  if (virtualIndex.length === 0) return selection;
  const sums = cores === null ? new Float64Array(virtualIndex.length) : null;
  await settled(() => call(virtualIndex, cores === null ? null : scores, rankScore, sums));
  if (sums !== null) {
    for (let at = 0; at < sums.length; at += k) softmax(sums.subarray(at, at + k), k);
    scores.set(sums);
  }
  return selection;
}

function unwrittenSelection(tokenCount: number, perToken: number, coreCount: number): Selection {
  const count = tokenCount * perToken;
  return {
    tokenCount,
    perToken,
    virtualIndex: unwritten(Float64Array, count),
    scores: unwritten(Float32Array, count * coreCount),
    rankScore: unwritten(Float32Array, count),
  };
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** Awaits a call that may fail with what selection fails with. */
async function settled(call: () => Pending): Promise<void> {
  try {
    const pending = call();
    if (pending !== undefined) await pending;
  } catch (error) {
    if (hasCode(error, 'NON_FINITE_SCORE'))
      throw new OperatingError(
        'NON_FINITE_SCORE',
        'a score is NaN; expected finite queries and keys; check the checkpoint and the input',
      );
    assert(!hasCode(error, 'INDEX_OUTSIDE'), 'a virtual index lies inside the shuffle');
    throw error;
  }
}
