import type { SequenceAttention } from '@ultramem/kernels';
import { type Gpu, inTwoDimensions } from './gpu.ts';
import { isDoubtful, spanOf } from './span.ts';
import { EXPONENTIAL, KEEP, PAIRS } from './wgsl.ts';

const THREADS = 64;
/** Scores of one command list. */
const SCORE_BYTES_MAX = 64 * 2 ** 20;
/** Below this a flushed denormal may show. */
const DOUBT = 2 ** -80;

/**
 * Causal softmax attention (SEMANTICS 2.2 step 5), `[queryCount, headCount, headWidth]`. Each query is computed alone, so results do not
 * depend on how many tokens a step has. Scores are pairs of f32, because the softmax turns their absolute errors into relative ones.
 *
 * @param onHost computes the same on the host, where numbers are too large or too small for the device
 */
export async function attend(
  gpu: Gpu,
  onHost: () => Promise<Float32Array>,
  request: SequenceAttention,
): Promise<Float32Array> {
  const { query, keys, values, queryCount, keyCount, headCount, kvHeadCount, headWidth, alibiSlopes } =
    request;
  const cached = keyCount * kvHeadCount * headWidth;
  const ownKeys = keys.subarray(0, cached);
  const ownValues = values.subarray(0, cached);
  const valueSpan = spanOf(ownValues);
  const scoreMax = headWidth * spanOf(query).largest * spanOf(ownKeys).largest;
  if (!(scoreMax < 2 ** 100 && valueSpan.largest < 2 ** 100)) return onHost();
  const result = new Float32Array(query.length);
  const pipeline = await gpu.pipeline(SHADER);
  const perJob = Math.max(1, Math.floor(SCORE_BYTES_MAX / 8 / (headCount * keyCount)));
  const scale = 1 / Math.sqrt(headWidth);
  const scaleParts = Float32Array.of(scale, scale - Math.fround(scale));
  for (let first = 0; first < queryCount; first += perJob) {
    const count = Math.min(perJob, queryCount - first);
    const width = headCount * headWidth;
    const [bytes] = await gpu.job(async (job) => {
      const firstPosition = keyCount - queryCount + first;
      const output = job.scratch(count * width * 4);
      const params = job.uniform([count, keyCount, headCount, kvHeadCount, headWidth, firstPosition, 0]);
      const regions = [
        params,
        job.upload(query.subarray(first * width, (first + count) * width)),
        job.upload(ownKeys),
        job.upload(ownValues),
        job.upload(alibiSlopes ?? new Float32Array(headCount)),
        job.upload(scaleParts),
        job.scratch(count * headCount * keyCount * 8),
        output,
      ];
      job.dispatch(pipeline, regions, inTwoDimensions(count * headCount));
      return job.read([output]);
    });
    result.set(new Float32Array(bytes), first * width);
  }
  const isSpoilt = valueSpan.largest > 0 && result.some((x) => isDoubtful(x, DOUBT));
  return isSpoilt ? onHost() : result;
}

/** One workgroup per query and head: threads share the keys for the scores, then the channels for the sums. */
const SHADER = `
  struct Params {
    queries: u32, keyCount: u32, heads: u32, kvHeads: u32, headWidth: u32, firstPosition: u32, zero: u32
  }
  @group(0) @binding(0) var<uniform> params: Params;
  @group(0) @binding(1) var<storage, read> query: array<f32>;
  @group(0) @binding(2) var<storage, read> keys: array<f32>;
  @group(0) @binding(3) var<storage, read> values: array<f32>;
  @group(0) @binding(4) var<storage, read> slopes: array<f32>;
  @group(0) @binding(5) var<storage, read> scale: array<f32>;
  @group(0) @binding(6) var<storage, read_write> scores: array<vec2f>;
  @group(0) @binding(7) var<storage, read_write> result: array<f32>;
  ${KEEP}
  ${PAIRS}
  ${EXPONENTIAL}
  var<workgroup> largest: array<vec2f, ${THREADS}>;
  var<workgroup> sums: array<vec2f, ${THREADS}>;

  fn scoreOf(queryAt: u32, keyAt: u32, distance: f32, slope: f32) -> vec2f {
    var product = vec2f(0.0, 0.0);
    for (var c = 0u; c < params.headWidth; c++) {
      product = addProduct(product, query[queryAt + c], keys[keyAt + c]);
    }
    var score = addProduct(vec2f(0.0, 0.0), product.x, scale[0]);
    score.y += product.x * scale[1] + product.y * scale[0];
    score = addProduct(score, -slope, distance);
    return addExactly(vec2f(score.x, 0.0), score.y);
  }

  fn isBelow(a: vec2f, b: vec2f) -> bool {
    return a.x < b.x || (a.x == b.x && a.y < b.y);
  }

  @compute @workgroup_size(${THREADS})
  fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    let list = group.x + group.y * 65535u;
    if (list >= params.queries * params.heads) { return; }
    let head = list % params.heads;
    let position = params.firstPosition + list / params.heads;
    let stride = params.kvHeads * params.headWidth;
    let headAt = head / (params.heads / params.kvHeads) * params.headWidth;
    let scoresAt = list * params.keyCount;
    var top = vec2f(-3.0e38, 0.0);
    for (var j = thread; j <= position; j += ${THREADS}u) {
      let score = scoreOf(list * params.headWidth, j * stride + headAt, f32(position - j), slopes[head]);
      scores[scoresAt + j] = score;
      if (isBelow(top, score)) { top = score; }
    }
    largest[thread] = top;
    workgroupBarrier();
    for (var i = 0u; i < ${THREADS}u; i++) {
      if (isBelow(top, largest[i])) { top = largest[i]; }
    }
    var sum = vec2f(0.0, 0.0);
    for (var j = thread; j <= position; j += ${THREADS}u) {
      let score = scores[scoresAt + j];
      let weight = exponential(keep(score.x - top.x) + keep(score.y - top.y));
      scores[scoresAt + j] = vec2f(weight, 0.0);
      sum = addExactly(sum, weight);
    }
    sums[thread] = sum;
    storageBarrier();
    workgroupBarrier();
    sum = vec2f(0.0, 0.0);
    for (var i = 0u; i < ${THREADS}u; i++) {
      sum = addExactly(sum, sums[i].x);
      sum.y += sums[i].y;
    }
    let total = sum.x + sum.y;
    for (var c = thread; c < params.headWidth; c += ${THREADS}u) {
      var pooled = vec2f(0.0, 0.0);
      for (var j = 0u; j <= position; j++) {
        pooled = addExactly(pooled, keep(scores[scoresAt + j].x * values[j * stride + headAt + c]));
      }
      result[list * params.headWidth + c] = (pooled.x + pooled.y) / total;
    }
  }`;
