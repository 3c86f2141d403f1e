import { FLOAT_DTYPES } from '@ultramem/checkpoint';
import { silu } from '../activation.ts';
import type { Activation, ActivationDType, FeedForward } from '../dense.ts';
import { gelu } from '../gate-weights.ts';
import type { Kernels } from '../kernels.ts';
import { type ConformanceCase, expectAssertion, expectClose, expectSame, type Truth } from './checks.ts';
import { inside, normals, type TableDType, table } from './inputs.ts';
import { naiveMatmul } from './naive-dense.ts';

const ACTIVATIONS: readonly Activation[] = ['swiglu', 'gelu', 'relu'];
const EDGES = [0, -0, 1e-42, 1, -1, 30, -30, 200, -200, 3e38];

export function feedForwardCases(): ConformanceCase[] {
  return [
    ...(['relu', 'gelu'] as const).map((activation) => elementwiseCase(activation)),
    swigluCase(),
    ...ACTIVATIONS.flatMap((activation) =>
      FLOAT_DTYPES.flatMap((dtype) => [0, 1, 9].map((rowCount) => wholeCase(activation, dtype, rowCount))),
    ),
    {
      name: 'feedForward: a row has the same bits alone and among hundreds',
      run: async (kernels) => {
        const [rowCount, width, hidden] = [300, 10, 70];
        for (const activation of ACTIVATIONS) {
          const layer = await load(kernels, 'F32', { width, hidden, activation });
          const x = normals(45, rowCount * width);
          const together = await kernels.feedForward(layer, x, rowCount);
          for (const row of [0, 1, 150, 299]) {
            const at = row * width;
            const alone = await kernels.feedForward(layer, x.slice(at, at + width), 1);
            expectSame(`row ${row}`, alone, together.slice(at, at + width));
          }
          release(layer);
        }
      },
    },
    {
      name: 'feedForward: both products round activations to BF16 where their weights do',
      run: async (kernels) => {
        const [rowCount, width, hidden] = [5, 33, 20];
        const layer = await load(kernels, 'BF16', { width, hidden, activation: 'swiglu' }, 'BF16');
        const x = normals(46, rowCount * width);
        const outer = { weight: await identity(kernels, hidden), bias: null };
        const between = await kernels.feedForward({ ...layer, outer }, x, rowCount);
        expectSame(
          'the result',
          await kernels.feedForward(layer, x, rowCount),
          await kernels.matmul(layer.outer.weight, between, rowCount, layer.outer.bias),
        );
        release({ ...layer, outer });
        layer.outer.weight.release();
      },
    },
    {
      name: 'feedForward: weights that do not fit x or each other are assertions',
      run: async (kernels) => {
        const layer = await load(kernels, 'F32', { width: 6, hidden: 4, activation: 'swiglu' });
        const x = new Float32Array(12);
        await kernels.feedForward(layer, x, 2);
        await expectAssertion(() => kernels.feedForward(layer, x, 3));
        await expectAssertion(() => kernels.feedForward({ ...layer, activation: 'relu' }, x, 2));
        for (const part of ['inner', 'outer'] as const) {
          const linear = { ...layer[part], bias: new Float32Array(5) };
          await expectAssertion(() => kernels.feedForward({ ...layer, [part]: linear }, x, 2));
        }
        release(layer);
        await expectAssertion(() => kernels.feedForward(layer, x, 2));
      },
    },
  ];
}

/** The non-linearity by itself, between two identities. */
function elementwiseCase(activation: 'relu' | 'gelu'): ConformanceCase {
  return {
    name: `feedForward: ${activation} of any size`,
    run: async (kernels) => {
      const x = Float32Array.of(...EDGES, ...normals(41, 150, 3));
      const [inner, outer] = [await identity(kernels, 10), await identity(kernels, 10)];
      const got = await kernels.feedForward(layerOf(inner, activation, outer), x, x.length / 10);
      const apply = elementwise(activation);
      const value = Float64Array.from(x, apply);
      // Close to nothing left of the input is lost to rounding.
      const magnitude = Float64Array.from(x, (z) => Math.abs(apply(z)) + 1e-2 * Math.min(Math.abs(z), 10));
      expectClose('the result', got, { value, magnitude });
    },
  };
}

function swigluCase(): ConformanceCase {
  return {
    name: 'feedForward: swiglu, whose second half is the gate',
    run: async (kernels) => {
      for (const [rows, half] of [
        [0, 3],
        [1, 1],
        [7, 33],
      ]) {
        const width = 2 * half;
        const x = normals(42, rows * width, 4);
        const value = new Float64Array(rows * half);
        for (let i = 0; i < value.length; i++) {
          const at = Math.floor(i / half) * width + (i % half);
          value[i] = x[at] * silu(x[at + half]);
        }
        const [inner, outer] = [await identity(kernels, width), await identity(kernels, half)];
        const got = await kernels.feedForward(layerOf(inner, 'swiglu', outer), x, rows);
        expectClose('the result', got, { value, magnitude: value.map(Math.abs) });
      }
    },
  };
}

function wholeCase(activation: Activation, dtype: TableDType, rowCount: number): ConformanceCase {
  return {
    name: `feedForward: ${activation} of ${rowCount} rows, weights in ${dtype}`,
    run: async (kernels) => {
      const size = { width: 37, hidden: 45, activation };
      const layer = await load(kernels, dtype, size);
      const x = normals(47, rowCount * size.width);
      const got = await kernels.feedForward(layer, inside(x), rowCount);
      expectClose('the result', got, naiveFeedForward(dtype, size, x, rowCount));
      release(layer);
    },
  };
}

interface Size {
  width: number;
  /** Numbers of a row after the non-linearity. */
  hidden: number;
  activation: Activation;
}

/** Numbers of a row before the non-linearity. */
const innerRows = ({ hidden, activation }: Size) => hidden * (activation === 'swiglu' ? 2 : 1);

function tables(dtype: TableDType, size: Size) {
  const { width, hidden } = size;
  const rows = innerRows(size);
  return {
    inner: table(dtype, [rows, width], normals(48, rows * width, width ** -0.5)),
    outer: table(dtype, [width, hidden], normals(49, width * hidden)),
    innerBias: normals(50, rows),
    outerBias: normals(51, width),
  };
}

async function load(
  kernels: Kernels,
  dtype: TableDType,
  size: Size,
  activations: ActivationDType = 'F32',
): Promise<FeedForward> {
  const { inner, outer, innerBias, outerBias } = tables(dtype, size);
  return {
    inner: { weight: await kernels.loadMatrix(inner.source, activations), bias: inside(innerBias) },
    activation: size.activation,
    outer: { weight: await kernels.loadMatrix(outer.source, activations), bias: inside(outerBias) },
  };
}

function release({ inner, outer }: FeedForward): void {
  inner.weight.release();
  outer.weight.release();
}

/** Straight from the definition. What the first product may be off by is passed on by the second. */
function naiveFeedForward(dtype: TableDType, size: Size, x: Float32Array, rowCount: number): Truth {
  const { width, hidden, activation } = size;
  const rows = innerRows(size);
  const { inner, outer, innerBias, outerBias } = tables(dtype, size);
  const before = naiveMatmul(inner.stored, x, { rows, columns: width, rowCount }, innerBias);
  const between = new Float32Array(rowCount * hidden);
  const doubt = new Float32Array(between.length);
  for (let i = 0; i < between.length; i++) {
    const at = Math.floor(i / hidden) * rows + (i % hidden);
    const [f, unsure] = [before.value[at], before.magnitude[at]];
    if (activation === 'swiglu') {
      const [gate, unsureGate] = [before.value[at + hidden], before.magnitude[at + hidden]];
      between[i] = f * silu(gate);
      doubt[i] = 2 * (unsure * Math.abs(silu(gate)) + Math.abs(f) * unsureGate);
    } else {
      between[i] = elementwise(activation)(f);
      doubt[i] = 2 * unsure;
    }
  }
  const outerSize = { rows: width, columns: hidden, rowCount };
  const { value, magnitude } = naiveMatmul(outer.stored, between, outerSize, outerBias);
  const passed = naiveMatmul(outer.stored.map(Math.abs), doubt, outerSize, null);
  return { value, magnitude: magnitude.map((own, i) => own + passed.value[i]) };
}

function elementwise(activation: 'relu' | 'gelu'): (z: number) => number {
  return activation === 'gelu' ? gelu : (z) => Math.max(0, z);
}

function identity(kernels: Kernels, width: number) {
  const ones = new Float32Array(width * width);
  for (let i = 0; i < width; i++) ones[i * width + i] = 1;
  return kernels.loadMatrix(table('F32', [width, width], ones).source);
}

function layerOf(
  inner: FeedForward['inner']['weight'],
  activation: Activation,
  outer: FeedForward['outer']['weight'],
): FeedForward {
  return { inner: { weight: inner, bias: null }, activation, outer: { weight: outer, bias: null } };
}
