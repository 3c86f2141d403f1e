import { setImmediate } from 'node:timers/promises';
import {
  createKvCache,
  evaluate,
  forward,
  generate,
  type MemoryLookup,
  type Model,
  parseSampling,
} from '@ultramem/inference';
import { OperatingError } from '@ultramem/invariant';
import type { Kernels } from '@ultramem/kernels';
import { beforeAll, describe, expect, it } from 'vitest';
import { modelOf } from './recorded.ts';
import { openTinyModel } from './tiny-model.ts';

let model: Model;

beforeAll(async () => {
  model = await modelOf((await openTinyModel({}, 3)).checkpoint);
});

const sequence = (tokenIds: number[]) => ({ cache: createKvCache(model.dense.config), tokenIds });
const lost = new OperatingError('WORKER_LOST', 'a worker is gone; expected an answer; try again', {
  retriable: true,
});

async function collect(options: Partial<Parameters<typeof generate>[1]>, on: Model = model) {
  const defaults = {
    prompts: [[1, 2]],
    maxNewTokens: 5,
    sampling: parseSampling({}),
    seed: 1,
    stopAtEos: false,
  };
  const tokens: number[][] = (options.prompts ?? defaults.prompts).map(() => []);
  const generating = generate(on, { ...defaults, ...options });
  for (;;) {
    const { done, value } = await generating.next();
    if (done) return { tokens, summary: value };
    tokens[value.sequence].push(value.tokenId);
  }
}

describe('a lookup that fails', () => {
  it('rejects the pass and leaves the cache as long as it was, so that a retry gives the right answer', async () => {
    const expected = await forward(model, { sequences: [sequence([1, 2, 3, 4])], logits: 'last' });
    const failing: Model = {
      ...model,
      lookUp: async (request) => (request.layer === 1 ? Promise.reject(lost) : model.lookUp(request)),
    };
    const { cache } = sequence([]);
    await forward(model, { sequences: [{ cache, tokenIds: [1, 2] }], logits: 'last' });
    await expect(forward(failing, { sequences: [{ cache, tokenIds: [3, 4] }], logits: 'last' })).rejects.toBe(
      lost,
    );
    expect(cache.length).toBe(2);
    const retried = await forward(model, { sequences: [{ cache, tokenIds: [3, 4] }], logits: 'last' });
    expect(retried.logits).toEqual(expected.logits);
  });

  it('is waited for when something else fails first', async () => {
    const { checkpoint } = await openTinyModel({ n_layers: 3, mem_insert_way: '0:2' }, 4);
    const skipping = await modelOf(checkpoint);
    let under = 0;
    const lookUp: MemoryLookup = async () => {
      under++;
      for (let turn = 0; turn < 20; turn++) await setImmediate();
      under--;
      throw lost;
    };
    let attends = 0;
    const kernels: Kernels = {
      ...skipping.kernels,
      attend: async (request) => {
        if (attends++ > 0) throw new Error('device lost');
        return skipping.kernels.attend(request);
      },
    };
    const step = {
      sequences: [{ cache: createKvCache(skipping.dense.config), tokenIds: [1] }],
      logits: 'last',
    } as const;
    await expect(forward({ ...skipping, lookUp, kernels }, step)).rejects.toThrow('device lost');
    expect(under).toBe(0);
  });
});

it('a memory layer whose output is lost is not looked up', async () => {
  const { checkpoint } = await openTinyModel({ n_layers: 4, mem_insert_way: '0:2/2:3/3:1' }, 5);
  const colliding = await modelOf(checkpoint);
  const asked: number[] = [];
  const lookUp: MemoryLookup = (request) => {
    asked.push(request.layer);
    return colliding.lookUp(request);
  };
  const sequences = [{ cache: createKvCache(colliding.dense.config), tokenIds: [1, 2] }];
  await forward({ ...colliding, lookUp }, { sequences, logits: 'last' });
  expect(asked).toEqual([]);
});

describe('generate', () => {
  const sampling = parseSampling({ temperature: 1.5, topK: 20 });

  it('gives a sequence the same tokens whoever its companions are', async () => {
    const alone = await collect({ prompts: [[5, 6, 7]], sampling });
    const together = await collect({ prompts: [[5, 6, 7], [9], [1, 2, 3, 4, 5]], sampling });
    expect(together.tokens[0]).toEqual(alone.tokens[0]);
    const others = await collect({ prompts: [[20, 21], [9]], sampling });
    expect(others.tokens[1]).toEqual(together.tokens[1]);
  });

  it('depends on the seed, and gives equal prompts different tokens', async () => {
    const prompts = [
      [5, 6],
      [5, 6],
    ];
    const one = await collect({ prompts, sampling, maxNewTokens: 10 });
    expect(one.tokens[0]).not.toEqual(one.tokens[1]);
    expect((await collect({ prompts, sampling, maxNewTokens: 10 })).tokens).toEqual(one.tokens);
    expect((await collect({ prompts, sampling, maxNewTokens: 10, seed: 2 })).tokens).not.toEqual(one.tokens);
  });

  it('ends at the limit, at the end of the context, or at the end of text, and says which', async () => {
    const limit = await collect({ maxNewTokens: 3 });
    expect(limit.tokens[0]).toHaveLength(3);
    expect(limit.summary.finishReasons).toEqual(['length']);
    const context = await collect({
      prompts: [[1, 2], Array.from({ length: 15 }, () => 3)],
      maxNewTokens: 10,
    });
    expect(context.tokens.map((tokens) => tokens.length)).toEqual([10, 2]);
    expect(context.summary.finishReasons).toEqual(['length', 'context']);
    const eosTokenId = limit.tokens[0][1];
    const config = { ...model.dense.config, eosTokenId };
    const stopping = { ...model, dense: { ...model.dense, config } };
    const stopped = await collect({ maxNewTokens: 3, stopAtEos: true }, stopping);
    const before = limit.tokens[0].slice(0, limit.tokens[0].indexOf(eosTokenId));
    expect(stopped.tokens[0]).toEqual(before);
    expect(stopped.summary.finishReasons).toEqual(['stop']);
  });

  it.each([
    [{ prompts: [[1], []] }, 'PROMPT_EMPTY', 'prompt 1 has no tokens; expected at least one; write a prompt'],
    [{ maxNewTokens: 0 }, 'USAGE', 'max-tokens is 0; expected a whole number of at least 1; correct it'],
    [{ seed: -1 }, 'USAGE', 'seed is -1; expected a whole number of at least 0; correct it'],
  ])('refuses %j', async (options, code, message) => {
    await expect(collect(options)).rejects.toMatchObject({ code, message });
  });
});

describe('evaluate', () => {
  async function lossOf(inputs: number[], targets: number[]): Promise<number> {
    const { logits } = await forward(model, { sequences: [sequence(inputs)], logits: 'all' });
    return targets.reduce((sum, target, i) => {
      const row = [...logits.subarray(i * 32, (i + 1) * 32)];
      return sum + Math.log(row.reduce((total, logit) => total + Math.exp(logit), 0)) - row[target];
    }, 0);
  }

  it('scores whole windows that start afresh', async () => {
    const tokenIds = [4, 9, 1, 1, 7, 22, 3, 5, 6, 8, 8];
    const progress: number[] = [];
    const onProgress = (scored: number) => progress.push(scored);
    const { lossSum, tokenCount } = await evaluate(model, { tokenIds, contextLength: 4, onProgress });
    const expected =
      (await lossOf([4, 9, 1, 1], [9, 1, 1, 7])) + (await lossOf([7, 22, 3, 5], [22, 3, 5, 6]));
    expect(tokenCount).toBe(8);
    expect(lossSum).toBeCloseTo(expected, 6);
    expect(progress).toEqual([8]);
  });

  it('takes a text shorter than a window as one', async () => {
    const { lossSum, tokenCount } = await evaluate(model, { tokenIds: [4, 9, 1], contextLength: 4 });
    expect(tokenCount).toBe(2);
    expect(lossSum).toBeCloseTo(await lossOf([4, 9], [9, 1]), 6);
  });

  it.each([
    [
      { tokenIds: [1] },
      'TEXT_TOO_SHORT',
      'the text has 1 tokens; expected at least 2, one to predict the next; take a longer text',
    ],
    [{ contextLength: 0 }, 'USAGE', 'context is 0; expected a whole number of at least 1; correct it'],
    [
      { tokenIds: [1, 99] },
      'TOKEN_OUT_OF_RANGE',
      "token 1 is 99; expected a whole number of 0 to 31; use the model's own tokenizer",
    ],
  ])('refuses %j', async (options, code, message) => {
    await expect(evaluate(model, { tokenIds: [1, 2], contextLength: 4, ...options })).rejects.toMatchObject({
      code,
      message,
    });
  });
});
