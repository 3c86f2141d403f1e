import type { ModelConfig } from '@ultramem/ultramem';

export type Weights = ReadonlyMap<string, { shape: readonly number[]; values: ArrayLike<number> }>;

/** Output of memory layer `layer` for each token's input. */
export type NaiveMemory = (layer: number, inputs: readonly number[][]) => Promise<number[][]>;

/**
 * SEMANTICS section 2 once more, written straight down in f64 on arrays of arrays: no cache, no batch, every position computed
 * from all positions before it. It shares no code with the library.
 *
 * @param reads for each block the memory layer that reads it, whose output is added after the same block
 * @returns logits of each position
 */
export async function naiveLogits(
  config: ModelConfig,
  weights: Weights,
  ids: readonly number[],
  reads: readonly (number | null)[],
  memory: NaiveMemory,
): Promise<number[][]> {
  const { dModel: d } = config;
  const learned = !config.rope && !config.alibi;
  let x = ids.map((id, position) => {
    let row = rowOf(weights, 'transformer.wte.weight', id);
    if (config.embeddingLayerNorm) row = norm(config, weights, 'transformer.emb_norm', row);
    return learned ? add(row, rowOf(weights, 'transformer.wpe.weight', position)) : row;
  });
  for (let block = 0; block < config.nLayers; block++) {
    const name = `transformer.blocks.${block}`;
    const a = x.map((row) => (config.normAfter ? row : norm(config, weights, `${name}.attn_norm`, row)));
    const qkv = a.map((row) =>
      linear(weights, `${name}.att_proj`, row).map((value) =>
        config.clipQkv === null ? value : Math.min(Math.max(value, -config.clipQkv), config.clipQkv),
      ),
    );
    const attended = attend(config, weights, name, qkv).map((row) =>
      linear(weights, `${name}.attn_out`, row),
    );
    x = x.map((row, t) => {
      const att = attended[t];
      return add(row, config.normAfter ? norm(config, weights, `${name}.attn_norm`, att) : att);
    });
    const h = x.map((row) => (config.normAfter ? row : norm(config, weights, `${name}.ff_norm`, row)));
    const y = h.map((row) =>
      linear(weights, `${name}.ff_out`, activation(config, linear(weights, `${name}.ff_proj`, row))),
    );
    x = x.map((row, t) => add(row, config.normAfter ? norm(config, weights, `${name}.ff_norm`, y[t]) : y[t]));
    const layer = reads[block] ?? null;
    if (layer !== null) {
      const output = await memory(layer, h);
      x = x.map((row, t) => add(row, output[t]));
    }
  }
  const last = x.map((row) => norm(config, weights, 'transformer.ln_f', row));
  const head = config.weightTying ? 'transformer.wte' : 'transformer.ff_out';
  return last.map((row) =>
    linear(weights, head, row).map((logit) => (config.scaleLogits ? logit / Math.sqrt(d) : logit)),
  );
}

function attend(config: ModelConfig, weights: Weights, name: string, qkv: readonly number[][]): number[][] {
  const { nHeads, nKvHeads, dModel } = config;
  const width = dModel / nHeads;
  const head = (t: number, part: 'q' | 'k' | 'v', number: number): number[] => {
    const start = { q: 0, k: dModel, v: dModel + nKvHeads * width }[part] + number * width;
    let vector = qkv[t].slice(start, start + width);
    if (part === 'v') return vector;
    if (config.attentionLayerNorm)
      vector = norm(config, weights, `${name}.${part}_norm`, vector, config.attentionNormWeight);
    return config.rope ? rotated(vector, t, config.ropeTheta) : vector;
  };
  return qkv.map((_, t) => {
    const heads: number[][] = [];
    for (let h = 0; h < nHeads; h++) {
      const shared = Math.floor(h / (nHeads / nKvHeads));
      const q = head(t, 'q', h);
      const slope = config.alibi ? 2 ** ((-(h + 1) * config.alibiBiasMax) / nHeads) : 0;
      const scores = qkv
        .slice(0, t + 1)
        .map((__, s) => dot(q, head(s, 'k', shared)) / Math.sqrt(width) - slope * (t - s));
      const shares = scores.map((score) => Math.exp(score - Math.max(...scores)));
      const total = shares.reduce((sum, share) => sum + share, 0);
      const output: number[] = Array.from({ length: width }, () => 0);
      for (let s = 0; s <= t; s++)
        head(s, 'v', shared).forEach((value, i) => {
          output[i] += (shares[s] / total) * value;
        });
      heads.push(output);
    }
    return heads.flat();
  });
}

/** A rotation of the complex number x_j + i x_(j + width/2). */
function rotated(x: readonly number[], position: number, theta: number): number[] {
  const half = x.length / 2;
  return x.map((value, i) => {
    const j = i % half;
    const angle = position / theta ** (j / half);
    return i < half
      ? value * Math.cos(angle) - x[i + half] * Math.sin(angle)
      : value * Math.cos(angle) + x[i - half] * Math.sin(angle);
  });
}

function activation(config: ModelConfig, f: readonly number[]): number[] {
  switch (config.activation) {
    case 'relu':
      return f.map((z) => (z > 0 ? z : 0));
    case 'gelu':
      return f.map((z) => z * normalDistribution(z));
    case 'swiglu':
      return f.slice(0, f.length / 2).map((p, i) => {
        const gate = f[i + f.length / 2];
        return (p * gate) / (1 + Math.exp(-gate));
      });
  }
}

/** The integral of the bell curve up to z, by Simpson's rule. */
function normalDistribution(z: number): number {
  const steps = 2000;
  const bell = (t: number) => Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI);
  let sum = bell(0) + bell(z);
  for (let i = 1; i < steps; i++) sum += (i % 2 === 1 ? 4 : 2) * bell((z * i) / steps);
  return 0.5 + (sum * z) / steps / 3;
}

function norm(
  config: ModelConfig,
  weights: Weights,
  name: string,
  x: readonly number[],
  weighted = config.normWeight,
): number[] {
  const mean = config.normKind === 'rms' ? 0 : x.reduce((sum, value) => sum + value, 0) / x.length;
  const spread = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  return x.map((value, i) => {
    const bracket = (value - mean) / Math.sqrt(spread + config.normEps);
    if (!weighted) return bracket;
    return weights.get(`${name}.weight`)!.values[i] * bracket + (weights.get(`${name}.bias`)?.values[i] ?? 0);
  });
}

function linear(weights: Weights, name: string, x: readonly number[]): number[] {
  const { shape } = weights.get(`${name}.weight`)!;
  const bias = weights.get(`${name}.bias`)?.values;
  return Array.from(
    { length: shape[0] },
    (_, row) => dot(rowOf(weights, `${name}.weight`, row), x) + (bias?.[row] ?? 0),
  );
}

function rowOf(weights: Weights, name: string, row: number): number[] {
  const { shape, values } = weights.get(name)!;
  return Array.from({ length: shape[1] }, (_, column) => values[row * shape[1] + column]);
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

function add(a: readonly number[], b: readonly number[]): number[] {
  return a.map((value, i) => value + b[i]);
}
