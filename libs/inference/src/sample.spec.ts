import { createRandom } from '@ultramem/environment';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { greedyToken, parseSampling, type Sampling, sampleToken } from './sample.ts';

/** Logits closer than this may round to equal probabilities, which rank by id. */
const CLOSE = 1e-6;

const logitRow = fc.float32Array({ minLength: 1, maxLength: 12, min: -5, max: 5, noNaN: true });

function draw(logits: Float32Array, sampling: Sampling, seed: number): number {
  return sampleToken(logits, { first: 0, count: logits.length }, sampling, createRandom(seed));
}

/** Tokens by probability, best first, with their probabilities. */
function ranked(logits: Float32Array, temperature: number): { id: number; share: number }[] {
  const weights = [...logits].map((logit) => Math.exp(logit / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights
    .map((weight, id) => ({ id, share: weight / total }))
    .sort((a, b) => b.share - a.share || a.id - b.id);
}

describe('sampleToken', () => {
  it('takes the best token when greedy, the lowest id on ties, and reads only its row', () => {
    expect(greedyToken(Float32Array.of(9, 1, 3, 3, 2, 9), 1, 4)).toBe(1);
    const row = { first: 1, count: 4 };
    expect(sampleToken(Float32Array.of(9, 1, 3, 3, 2, 9), row, parseSampling({}), createRandom(1))).toBe(1);
  });

  it('draws each token as often as its probability says', () => {
    const logits = Float32Array.of(0, 1, 2, -1);
    const random = createRandom(5);
    const counts = [0, 0, 0, 0];
    const draws = 20000;
    for (let i = 0; i < draws; i++)
      counts[sampleToken(logits, { first: 0, count: 4 }, parseSampling({ temperature: 0.7 }), random)]++;
    for (const { id, share } of ranked(logits, 0.7)) expect(counts[id] / draws).toBeCloseTo(share, 1.7);
  });

  it('never leaves the top-k', () => {
    fc.assert(
      fc.property(logitRow, fc.integer({ min: 1, max: 14 }), fc.nat(), (logits, topK, seed) => {
        const allowed = ranked(logits, 1)
          .slice(0, topK)
          .map(({ id }) => id);
        const id = draw(logits, parseSampling({ temperature: 1, topK }), seed);
        const worst = logits[allowed.at(-1)!];
        expect(logits[id]).toBeGreaterThanOrEqual(worst - CLOSE);
      }),
    );
  });

  it('never leaves the nucleus, and with top-k the nucleus of those', () => {
    const share = fc.double({ min: 0.05, max: 0.99, noNaN: true });
    fc.assert(
      fc.property(
        logitRow,
        share,
        fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
        fc.nat(),
        (logits, topP, topK, seed) => {
          const candidates = ranked(logits, 2).slice(0, topK);
          const total = candidates.reduce((sum, { share: part }) => sum + part, 0);
          const id = draw(logits, parseSampling({ temperature: 2, topP, topK }), seed);
          let before = 0;
          for (const candidate of candidates) {
            if (logits[candidate.id] <= logits[id] + CLOSE) break;
            before += candidate.share;
          }
          expect(before / total).toBeLessThan(topP + 1e-9);
        },
      ),
      {
        examples: [
          [
            Float32Array.of(-1.1102231569740545e-16, 2.55351295663786e-15, 0),
            0.3333333333333337,
            undefined,
            15298241,
          ],
        ],
      },
    );
  });

  it('reaches every token of a flat row without filters', () => {
    const seen = new Set(
      Array.from({ length: 200 }, (_, seed) =>
        draw(new Float32Array(5), parseSampling({ temperature: 1 }), seed),
      ),
    );
    expect(seen.size).toBe(5);
  });
});

describe('parseSampling', () => {
  it('is greedy by default', () => {
    expect(parseSampling({})).toEqual({ temperature: 0, topK: null, topP: 1 });
  });

  it.each([
    [{ temperature: -1 }, 'temperature is -1; expected a number of 0 (greedy) to 100; correct it'],
    [{ temperature: Number.NaN }, 'temperature is NaN; expected a number of 0 (greedy) to 100; correct it'],
    [{ topK: 0 }, 'top-k is 0; expected a whole number of at least 1; correct it or leave it out'],
    [{ topK: 1.5 }, 'top-k is 1.5; expected a whole number of at least 1; correct it or leave it out'],
    [{ topP: 0 }, 'top-p is 0; expected a number above 0 and at most 1; correct it or leave it out'],
    [{ topP: 1.1 }, 'top-p is 1.1; expected a number above 0 and at most 1; correct it or leave it out'],
  ])('refuses %j', (options, message) => {
    expect(() => parseSampling(options)).toThrow(expect.objectContaining({ code: 'USAGE', message }));
  });
});
