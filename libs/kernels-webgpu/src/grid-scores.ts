/// <reference types="@webgpu/types" />
import { type Gpu, inTwoDimensions, type Job, type Region } from './gpu.ts';

const THREADS = 64;

export interface GridScores {
  rows: Region; // [lists, k, rank]
  columns: Region; // [lists, k, rank]
  lists: number;
  k: number;
  rank: number;
  scores: Region; // [lists, k, k]
}

export function gridScoresPipeline(gpu: Gpu): Promise<GPUComputePipeline> {
  return gpu.pipeline(SHADER);
}

/** `scores[list, a, b] = Σ_s rows[list, a, s] columns[list, b, s]` in f32. */
export function dispatchGridScores(job: Job, pipeline: GPUComputePipeline, grid: GridScores): void {
  const { rows, columns, lists, k, rank, scores } = grid;
  const cells = lists * k * k;
  const params = job.uniform([cells, k, rank]);
  job.dispatch(pipeline, [params, rows, columns, scores], inTwoDimensions(Math.ceil(cells / THREADS)));
}

const SHADER = `
  struct Params { cells: u32, k: u32, rank: u32 }
  @group(0) @binding(0) var<uniform> params: Params;
  @group(0) @binding(1) var<storage, read> rows: array<f32>;
  @group(0) @binding(2) var<storage, read> columns: array<f32>;
  @group(0) @binding(3) var<storage, read_write> scores: array<f32>;

  @compute @workgroup_size(${THREADS})
  fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    let cell = (group.x + group.y * 65535u) * ${THREADS}u + thread;
    if (cell >= params.cells) { return; }
    let row = cell / params.k;
    let column = row / params.k * params.k + cell % params.k;
    var sum = 0.0;
    for (var s = 0u; s < params.rank; s++) {
      sum = fma(rows[row * params.rank + s], columns[column * params.rank + s], sum);
    }
    scores[cell] = sum;
  }`;
