import { assert } from '@ultramem/invariant';
import { type Activation, gelu, silu } from '@ultramem/kernels';
import { type Gpu, inTwoDimensions } from './gpu.ts';
import { isDoubtful } from './span.ts';
import { EXPONENTIAL, KEEP } from './wgsl.ts';

const THREADS = 64;
/** Below this a flushed denormal may show. */
const DOUBT = 2 ** -80;
/** Elements of one command list. */
const ELEMENTS_MAX = 2 ** 23;

/**
 * The MLP's non-linearity (SEMANTICS 2.2 step 8), `[rows, width]`, or `[rows, width / 2]` for swiglu. relu costs less than its way to
 * the device; results near 0 and infinity are computed on the host.
 */
export async function activate(
  gpu: Gpu,
  kind: Activation,
  x: Float32Array,
  width: number,
): Promise<Float32Array> {
  if (kind === 'relu') return x.map((z) => Math.max(0, z));
  assert(x.length % width === 0, 'x has whole rows');
  const half = width / 2;
  const resultWidth = kind === 'swiglu' ? half : width;
  const result = new Float32Array((x.length / width) * resultWidth);
  const pipeline = await gpu.pipeline(kind === 'swiglu' ? SWIGLU : GELU);
  const rowsPerJob = Math.max(1, Math.floor(ELEMENTS_MAX / width));
  for (let first = 0; first * width < x.length; first += rowsPerJob) {
    const some = x.subarray(first * width, (first + rowsPerJob) * width);
    const count = (some.length / width) * resultWidth;
    const [bytes] = await gpu.job(async (job) => {
      const output = job.scratch(count * 4);
      const groups = inTwoDimensions(Math.ceil(count / THREADS));
      job.dispatch(pipeline, [job.uniform([count, resultWidth, 0]), job.upload(some), output], groups);
      return job.read([output]);
    });
    result.set(new Float32Array(bytes), first * resultWidth);
  }
  for (let i = 0; i < result.length; i++) {
    if (!isDoubtful(result[i], DOUBT)) continue;
    const at = kind === 'swiglu' ? Math.floor(i / half) * width + (i % half) : i;
    result[i] = kind === 'swiglu' ? silu(x[at + half]) * x[at] : gelu(x[at]);
  }
  return result;
}

const HEAD = `
  struct Params { count: u32, width: u32, zero: u32 }
  @group(0) @binding(0) var<uniform> params: Params;
  @group(0) @binding(1) var<storage, read> x: array<f32>;
  @group(0) @binding(2) var<storage, read_write> result: array<f32>;
  ${KEEP}
  ${EXPONENTIAL}`;

const MAIN = `
  @compute @workgroup_size(${THREADS})
  fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    let at = (group.x + group.y * 65535u) * ${THREADS}u + thread;
    if (at >= params.count) { return; }
    result[at] = activation(at);
  }`;

/** A positive exponent is turned around, so that it does not overflow. */
const SWIGLU = `${HEAD}
  fn activation(at: u32) -> f32 {
    let first = at / params.width * params.width * 2u + at % params.width;
    let gate = x[first + params.width];
    let e = exponential(-abs(gate));
    return gate * select(e, 1.0, gate >= 0.0) / (1.0 + e) * x[first];
  }
  ${MAIN}`;

/** z Φ(z); the tail of Φ by erfc's approximation of Press et al., Numerical Recipes, 6.2, relative error 1.2e-7. */
const GELU = `${HEAD}
  fn tail(z: f32) -> f32 {
    let a = z * ${Math.SQRT1_2};
    let t = 1.0 / (1.0 + 0.5 * a);
    let p = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
      + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
    return 0.5 * t * exponential(p - a * a);
  }

  fn activation(at: u32) -> f32 {
    let z = x[at];
    let rest = tail(abs(z));
    return z * select(rest, 1.0 - rest, z >= 0.0);
  }
  ${MAIN}`;
