/// <reference types="@webgpu/types" />
import type { FloatDType } from '@ultramem/checkpoint';
import type { Gpu, Job, Region } from './gpu.ts';
import { ELEMENT } from './wgsl.ts';

/** Weight rows of a workgroup, one per thread. */
const TILE_ROWS = 64;
/** Columns that are summed by themselves before they are added to the sum: errors grow with columns / 16, not with columns. */
const BLOCK_COLUMNS = 16;
/** Rows of x that a thread multiplies by each weight it reads. */
const TILES_X = [1, 8] as const;

export interface BatchedProduct {
  /** Stacked weights `[lists, rows, columns]` of the dtype that `pipelines` was made for, each row `rowWords` words. */
  weight: { region: Region; rowWords: number };
  lists: number;
  rows: number;
  columns: number;
  /** `[xRows, vectorsPerRow, columns]` */
  x: Region;
  xRows: number;
  vectorsPerRow: number;
  /** Which vector of a row of x each list takes, `[lists]`. */
  vectorOfList: Region;
  /** `[xRows, lists, rows]` */
  result: Region;
}

export type ProductPipelines = GPUComputePipeline[];

export function productPipelines(gpu: Gpu, dtype: FloatDType): Promise<ProductPipelines> {
  return Promise.all(TILES_X.map((tileX) => gpu.pipeline(productShader(dtype, tileX))));
}

/**
 * `result[i, list, row] = Σ_c weight[list, row, c] x[i, vectorOfList[list], c]` in f32. Both tile sizes add the same numbers in the
 * same order, each by one `fma`, so that a row of x has the same bits in any batch.
 */
export function dispatchProduct(job: Job, pipelines: ProductPipelines, product: BatchedProduct): void {
  const { weight, lists, rows, columns, x, xRows, vectorsPerRow, vectorOfList, result } = product;
  const choice = xRows === 1 ? 0 : 1;
  const params = job.uniform([rows, columns, weight.rowWords, xRows, vectorsPerRow, lists]);
  job.dispatch(
    pipelines[choice],
    [params, weight.region, x, vectorOfList, result],
    [Math.ceil(rows / TILE_ROWS), Math.ceil(xRows / TILES_X[choice]), lists],
  );
}

function productShader(dtype: FloatDType, tileX: number): string {
  const perTile = (line: (j: number) => string) =>
    Array.from({ length: tileX }, (_, j) => line(j)).join('\n');
  return `
    struct Params { rows: u32, columns: u32, rowWords: u32, xRows: u32, vectorsPerRow: u32, lists: u32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> words: array<u32>;
    @group(0) @binding(2) var<storage, read> x: array<f32>;
    @group(0) @binding(3) var<storage, read> vectorOfList: array<u32>;
    @group(0) @binding(4) var<storage, read_write> result: array<f32>;
    ${ELEMENT[dtype]}
    @compute @workgroup_size(${TILE_ROWS})
    fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
      let list = group.z;
      let row = group.x * ${TILE_ROWS}u + thread;
      if (row >= params.rows) { return; }
      let firstX = group.y * ${tileX}u;
      let weightRow = list * params.rows + row;
      ${perTile(
        (j) => `
      let at${j} = (min(firstX + ${j}u, params.xRows - 1u) * params.vectorsPerRow + vectorOfList[list]) * params.columns;
      var sum${j} = 0.0;`,
      )}
      for (var first = 0u; first < params.columns; first += ${BLOCK_COLUMNS}u) {
        ${perTile((j) => `var block${j} = 0.0;`)}
        let end = min(first + ${BLOCK_COLUMNS}u, params.columns);
        for (var column = first; column < end; column++) {
          let w = element(weightRow, column);
          ${perTile((j) => `block${j} = fma(w, x[at${j} + column], block${j});`)}
        }
        ${perTile((j) => `sum${j} += block${j};`)}
      }
      ${perTile(
        (j) => `
      if (firstX + ${j}u < params.xRows) {
        result[((firstX + ${j}u) * params.lists + list) * params.rows + row] = sum${j};
      }`,
      )}
    }`;
}
