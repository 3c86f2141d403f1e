/// <reference types="@webgpu/types" />
import type { Gpu, Job, Region } from './gpu.ts';
import { inTwoDimensions } from './gpu.ts';

const THREADS = 64;

export interface BestKeys {
  scores: Region; // [listCount, keyCount]
  /** Keys this much below the k-th best score survive too. */
  margin: Region; // [listCount]
  listCount: number;
  keyCount: number;
  k: number;
  /** Survivors that have room. */
  capacity: number;
  /** Per list the number of survivors, which may exceed `capacity`, then their numbers in no order. */
  survivors: Region; // [listCount, 1 + capacity]
}

/** Room for near-ties; a list with more of them is scored by the host. */
export function survivorsMax(k: number): number {
  return k + 16 + (k >> 2);
}

export function bestKeysPipeline(gpu: Gpu): Promise<GPUComputePipeline> {
  return gpu.pipeline(SHADER);
}

/** Every key whose score is at least the k-th best of its list less the margin. */
export function dispatchBestKeys(job: Job, pipeline: GPUComputePipeline, best: BestKeys): void {
  const { scores, margin, listCount, keyCount, k, capacity, survivors } = best;
  const params = job.uniform([listCount, keyCount, k, capacity]);
  job.dispatch(pipeline, [params, scores, margin, survivors], inTwoDimensions(listCount));
}

/**
 * One workgroup per list. The k-th best is found exactly, byte by byte of an integer that is ordered like the score (radix select:
 * Alabi, Blanchard, Gordon and Steinbach, Fast k-selection algorithms for graphics processing units, 2012).
 */
const SHADER = `
  struct Params { listCount: u32, keyCount: u32, k: u32, capacity: u32 }
  @group(0) @binding(0) var<uniform> params: Params;
  @group(0) @binding(1) var<storage, read> scores: array<f32>;
  @group(0) @binding(2) var<storage, read> margin: array<f32>;
  @group(0) @binding(3) var<storage, read_write> survivors: array<u32>;
  var<workgroup> counts: array<atomic<u32>, 256>;
  var<workgroup> prefix: u32;
  var<workgroup> remaining: u32;
  var<workgroup> survivorCount: atomic<u32>;

  fn ordered(score: f32) -> u32 {
    let bits = bitcast<u32>(score);
    return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
  }

  fn scoreOf(number: u32) -> f32 {
    return bitcast<f32>(select(~number, number & 0x7fffffffu, (number >> 31u) == 1u));
  }

  @compute @workgroup_size(${THREADS})
  fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    let list = group.x + group.y * 65535u;
    if (list >= params.listCount) { return; }
    let first = list * params.keyCount;
    if (thread == 0u) {
      prefix = 0u;
      remaining = params.k;
      atomicStore(&survivorCount, 0u);
    }
    for (var digit = 0u; digit < 4u; digit++) {
      for (var i = thread; i < 256u; i += ${THREADS}u) { atomicStore(&counts[i], 0u); }
      workgroupBarrier();
      let shift = 24u - 8u * digit;
      for (var key = thread; key < params.keyCount; key += ${THREADS}u) {
        let number = ordered(scores[first + key]);
        // The digits above this one; no shift by 32 in the first round.
        if (digit == 0u || ((number ^ prefix) >> (shift + 8u)) == 0u) {
          atomicAdd(&counts[(number >> shift) & 255u], 1u);
        }
      }
      workgroupBarrier();
      if (thread == 0u) {
        var bin = 255u;
        var above = 0u;
        while (bin > 0u && above + atomicLoad(&counts[bin]) < remaining) {
          above += atomicLoad(&counts[bin]);
          bin--;
        }
        remaining -= above;
        prefix |= bin << shift;
      }
      workgroupBarrier();
    }
    let threshold = scoreOf(prefix) - margin[list];
    let base = list * (1u + params.capacity);
    for (var key = thread; key < params.keyCount; key += ${THREADS}u) {
      if (scores[first + key] >= threshold) {
        let place = atomicAdd(&survivorCount, 1u);
        if (place < params.capacity) { survivors[base + 1u + place] = key; }
      }
    }
    workgroupBarrier();
    if (thread == 0u) { survivors[base] = atomicLoad(&survivorCount); }
  }`;
