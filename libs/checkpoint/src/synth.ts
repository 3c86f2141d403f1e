import { createRandom, type Random } from '@ultramem/environment';
import { assert, OperatingError, present } from '@ultramem/invariant';
import { type MemoryGeometry, type ModelConfig, memoryGeometry, parseModelConfig } from '@ultramem/ultramem';
import type { ByteSink } from './byte-sink.ts';
import { fromFloat32 } from './dtype.ts';
import { type ExpectedTensor, expectedTensors } from './expected-tensors.ts';
import { permutation } from './permutation.ts';
import { synthDistribution } from './synth-distribution.ts';
import { memoryTensorName } from './tensor-names.ts';
import { DTYPE_BYTES } from './tensor-source.ts';
import { tuckerVectors } from './tucker-vectors.ts';
import { drawNormals, writeNormals } from './write-normals.ts';
import { type SafetensorsLayout, safetensorsHeader } from './write-safetensors.ts';

export interface SynthOptions {
  seed: number;
  /** Of matrices and tables; norms, biases and Tucker tensors are F32 always. */
  dtype: 'F32' | 'BF16';
}

const PIECE_ELEMENTS = 1024 * 1024;

/** Bytes of the `model.safetensors` that `synthCheckpoint` writes for a parsed `config.json`. */
export function synthByteCount(configJson: unknown, dtype: SynthOptions['dtype']): number {
  return plan(configJson, dtype).layout.fileByteCount;
}

/**
 * Writes a `model.safetensors` of seeded random weights, distributed about as SEMANTICS section 12 has it, with u and v
 * of section 9 instead of zeros, so that the model selects as a trained one does. Equal arguments give equal bytes; a
 * table may exceed memory, of which about 24 MiB are used.
 *
 * @throws OperatingError CONFIG_INVALID
 */
export async function synthCheckpoint(
  configJson: unknown,
  { seed, dtype }: SynthOptions,
  sink: ByteSink,
): Promise<void> {
  const { config, geometry, tensors, layout } = plan(configJson, dtype);
  const random = createRandom(seed);
  // A seed for each tensor: u and v can draw the cores once more, wherever in the file they lie.
  const seeds = new Map(tensors.map(({ name }) => [name, random.uint32()]));
  const normals = drawNormals(random);
  await sink.write(layout.header);
  for (const tensor of tensors) {
    const ofTensor = createRandom(present(seeds.get(tensor.name), 'every tensor has a seed'));
    const distribution = synthDistribution(config, geometry, tensor.name);
    switch (distribution.kind) {
      case 'normal':
        assert(tensor.dtype !== 'I64', 'integers are not normal numbers');
        await writeNormals(
          {
            ...{ elementCount: elementCount(tensor), dtype: tensor.dtype, std: distribution.std },
            ...{ normals, random: ofTensor, repeats: tensor.name.endsWith('values_for_look_up') },
          },
          sink,
        );
        break;
      case 'uniform':
        await sink.write(fromFloat32('F32', drawCore(elementCount(tensor), ofTensor)));
        break;
      case 'constant':
        await sink.write(fromFloat32('F32', new Float32Array(elementCount(tensor)).fill(distribution.value)));
        break;
      case 'permutation':
        await writePermutation(elementCount(tensor), ofTensor, sink);
        break;
      case 'tucker': {
        assert(geometry !== null, 'only memory layers have Tucker vectors');
        const vectors = tuckerVectorsOfLayer(geometry, distribution.layer, seeds);
        await sink.write(fromFloat32('F32', distribution.side === 'u' ? vectors.row : vectors.column));
        break;
      }
    }
  }
}

interface PlannedTensor extends ExpectedTensor {
  dtype: SynthOptions['dtype'] | 'I64';
}

function plan(configJson: unknown, dtype: SynthOptions['dtype']): SynthPlan {
  const config = parseModelConfig(configJson);
  if (config.valueDtype !== null)
    throw new OperatingError(
      'CONFIG_INVALID',
      `config.json: value_dtype is ${config.valueDtype}; expected tables of floats, which is what synth writes; remove the key, and convert what it wrote`,
    );
  const geometry = memoryGeometry(config);
  const tensors = expectedTensors(config, geometry).map((tensor): PlannedTensor => {
    const isSmall = tensor.shape.length === 1 || tensor.name.includes('.tucker_core');
    return { ...tensor, dtype: tensor.dtypes.includes('I64') ? 'I64' : isSmall ? 'F32' : dtype };
  });
  tensors.sort((a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype]); // stable; keeps all of them aligned
  return { config, geometry, tensors, layout: safetensorsHeader(tensors) };
}

interface SynthPlan {
  config: ModelConfig;
  geometry: MemoryGeometry | null;
  tensors: PlannedTensor[];
  layout: SafetensorsLayout;
}

async function writePermutation(length: number, random: Random, sink: ByteSink): Promise<void> {
  const fillImages = permutation(length, () => random.uint32());
  const images = new Float64Array(Math.min(length, PIECE_ELEMENTS));
  // One piece is written while the next is filled; `pending` is always awaited before anything else can be.
  const pieces = [new Uint32Array(2 * images.length), new Uint32Array(2 * images.length)];
  let pending = Promise.resolve();
  for (let done = 0, turn = 0; done < length; done += PIECE_ELEMENTS, turn = 1 - turn) {
    const count = Math.min(PIECE_ELEMENTS, length - done);
    fillImages(done, images.subarray(0, count));
    const words = pieces[turn];
    for (let i = 0; i < count; i++) {
      const high = Math.floor(images[i] * 2 ** -32);
      words[2 * i] = images[i] - high * 2 ** 32; // little-endian int64 without a BigInt for each
      words[2 * i + 1] = high;
    }
    await pending;
    pending = sink.write(new Uint8Array(words.buffer, 0, count * 8));
  }
  await pending;
}

function tuckerVectorsOfLayer(
  { headCount, rank, coreCount }: MemoryGeometry,
  layer: number,
  seeds: ReadonlyMap<string, number>,
): ReturnType<typeof tuckerVectors> {
  const coreSum = new Float64Array(headCount * rank * rank);
  for (let core = 0; core < coreCount; core++) {
    const drawn = drawCore(
      coreSum.length,
      createRandom(
        present(seeds.get(memoryTensorName(layer, `tucker_core.${core}`)), 'every tensor has a seed'),
      ),
    );
    for (let i = 0; i < coreSum.length; i++) coreSum[i] += drawn[i];
  }
  const zero = new Float32Array(headCount * rank);
  return tuckerVectors({ coreSum, headCount, rank, previous: { row: zero, column: zero } });
}

function drawCore(length: number, random: Random): Float32Array {
  return Float32Array.from({ length }, () => random.unit());
}

function elementCount({ shape }: PlannedTensor): number {
  return shape.reduce((product, size) => product * size, 1);
}
