import { assert } from '@ultramem/invariant';

const ROUNDS = 4;

/** Fills `images` with the images of `first`, `first + 1`, ... */
export type FillImages = (first: number, images: Float64Array) => void;

/**
 * A seeded permutation of `0 .. length - 1`, any stretch of it at a time and without holding it: a Feistel network over
 * the pairs of a nearly square grid that is hardly larger than `length`, walked along its cycle until it falls inside
 * (Black and Rogaway 2002, section 5).
 */
export function permutation(length: number, nextKey: () => number): FillImages {
  assert(Number.isSafeInteger(length) && length >= 1 && length <= 2 ** 42, 'sides of at most 21 bits');
  const rowCount = Math.ceil(Math.sqrt(length));
  const columnCount = Math.ceil(length / rowCount);
  const rounds = Array.from({ length: ROUNDS }, (_, round) =>
    round % 2 === 0
      ? roundFunction(columnCount, rowCount, nextKey())
      : roundFunction(rowCount, columnCount, nextKey()),
  );
  return (first, images) => {
    assert(first >= 0 && first + images.length <= length, 'only entries of the permutation have images');
    fillImages({ length, rowCount, columnCount, rounds }, first, images);
  };
}

interface Network {
  length: number;
  rowCount: number;
  columnCount: number;
  rounds: Int32Array[];
}

function fillImages(network: Network, first: number, images: Float64Array): void {
  const { length, rowCount, columnCount } = network;
  const [row1, column1, row2, column2] = network.rounds;
  let firstRow = Math.floor(first / columnCount);
  let firstColumn = first - firstRow * columnCount;
  for (let i = 0; i < images.length; i++) {
    let row = firstRow;
    let column = firstColumn;
    do {
      // Sums modulo a side without a branch, which would be guessed wrong every other time.
      row = row + row1[column] - rowCount;
      row += rowCount & (row >> 31);
      column = column + column1[row] - columnCount;
      column += columnCount & (column >> 31);
      row = row + row2[column] - rowCount;
      row += rowCount & (row >> 31);
      column = column + column2[row] - columnCount;
      column += columnCount & (column >> 31);
      images[i] = row * columnCount + column;
    } while (images[i] >= length);
    if (++firstColumn === columnCount) {
      firstColumn = 0;
      firstRow++;
    }
  }
}

/** For each of `domain` values one below `range`, as a table: a side of the grid is short enough for the caches. */
function roundFunction(domain: number, range: number, key: number): Int32Array {
  return Int32Array.from({ length: domain }, (_, value) => {
    let z = Math.imul(value ^ key, 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return Math.floor((((z ^ (z >>> 16)) >>> 0) * range) / 2 ** 32);
  });
}
