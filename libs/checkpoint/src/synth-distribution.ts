import { assert } from '@ultramem/invariant';
import type { MemoryGeometry, ModelConfig } from '@ultramem/ultramem';

/** How a tensor of a fresh model is filled. */
export type SynthDistribution =
  | { kind: 'normal'; std: number }
  | { kind: 'uniform' }
  | { kind: 'constant'; value: number }
  | { kind: 'permutation' }
  | { kind: 'tucker'; layer: number; side: 'u' | 'v' };

const DENSE_STD = 0.02;

/**
 * SEMANTICS section 12 with init_fn full_megatron for the transformer; uniform matrices are replaced by normal ones of
 * the same deviation, and nothing is cut off.
 */
export function synthDistribution(
  config: ModelConfig,
  geometry: MemoryGeometry | null,
  name: string,
): SynthDistribution {
  const memory = /^transformer\.(?:mem_blocks\.(\d+)|full_memory_layer)\.(.*)$/.exec(name);
  if (memory !== null)
    return memoryDistribution(config, geometry, { layer: Number(memory[1] ?? 0), part: memory[2] });
  if (name.endsWith('.bias')) return { kind: 'constant', value: 0 };
  if (/(?:norm|ln_f)\.weight$/.test(name)) return { kind: 'constant', value: 1 };
  if (name === 'transformer.ff_out.weight') return { kind: 'normal', std: config.dModel ** -0.5 };
  const isResidual = /\.(?:attn_out|ff_out)\.weight$/.test(name);
  return { kind: 'normal', std: isResidual ? DENSE_STD / Math.sqrt(2 * config.nLayers) : DENSE_STD };
}

function memoryDistribution(
  config: ModelConfig,
  geometry: MemoryGeometry | null,
  { layer, part }: { layer: number; part: string },
): SynthDistribution {
  const { memFamily: family, memKdim: keyWidth, memVdim: valueWidth, dModel, memHead } = config;
  const isPlus = family === 'memory_plus';
  const normal = (variance: number): SynthDistribution => ({ kind: 'normal', std: Math.sqrt(variance) });
  switch (part) {
    case 'query_norm.weight':
    case 'keys_norm.weight':
      return { kind: 'constant', value: isPlus ? 1 : keyWidth ** (family === 'ultramem_v1' ? -0.33 : -0.4) };
    case 'query_norm.bias':
    case 'keys_norm.bias':
      return { kind: 'constant', value: 0 };
    case 'query_proj.weight':
      return normal(isPlus ? 2 / (dModel + 2 * keyWidth * memHead) : 1 / keyWidth);
    case 'keys':
      return normal(isPlus ? 1 / (6 * keyWidth) : 1 / keyWidth);
    case 'values_proj.weight':
      return normal(1 / ((geometry?.poolBlocks ?? 1) * valueWidth));
    case 'swilu_projection.weight':
      return normal(1 / valueWidth);
    case 'pre_values_proj.weight':
      return normal(1 / dModel);
    case 'values_for_look_up':
      return normal(isPlus ? 1 / valueWidth : DENSE_STD ** 2);
    case 'pre_values_for_look_up':
      return normal(DENSE_STD ** 2);
    case 'shuffle_index':
      return { kind: 'permutation' };
    case 'tucker_core_u':
    case 'tucker_core_v':
      return { kind: 'tucker', layer, side: part === 'tucker_core_u' ? 'u' : 'v' };
    default:
      assert(part.startsWith('tucker_core.'), `a memory tensor named ${part} is known`);
      return { kind: 'uniform' };
  }
}
