import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Candidates } from './candidates.ts';
import { memoryGeometry } from './memory-geometry.ts';
import { collapseScore, mergeCandidates } from './merge-candidates.ts';
import { parseModelConfig } from './model-config.ts';
import { topK } from './top-k.ts';

const geometry = memoryGeometry(
  parseModelConfig({ n_layers: 1, mem_type: 'ultramem_v1', mem_knum: 10, mem_knn: 4, mem_head: 2 }),
)!;
const { headCount, topK: k, keyCount, rank } = geometry;
const collapse = { row: Float32Array.of(1, 0.5, -1, 2), column: Float32Array.of(0.25, 1, 1, 1) };

/** Best keys of [start, end) of one score table, as a worker answers. */
function part(refined: Float32Array, start: number, end: number): Candidates {
  const perSide = Math.min(k, end - start);
  const answer = {
    tokenCount: 1,
    perSide,
    index: new Uint32Array(headCount * 2 * perSide),
    refined: new Float32Array(headCount * 2 * perSide * rank),
  };
  for (let list = 0; list < headCount * 2; list++) {
    const vector = list % 2 === 0 ? collapse.row : collapse.column;
    const scores = new Float64Array(end - start).map((_, i) =>
      collapseScore(refined, (list * keyCount + start + i) * rank, vector, Math.floor(list / 2) * rank, rank),
    );
    const best = new Uint32Array(perSide);
    topK(scores, scores.length, perSide, best, 0);
    best.forEach((at, j) => {
      answer.index[list * perSide + j] = start + at;
      for (let r = 0; r < rank; r++)
        answer.refined[(list * perSide + j) * rank + r] = refined[(list * keyCount + start + at) * rank + r];
    });
  }
  return answer;
}

describe('mergeCandidates', () => {
  it('equals the choice over all keys for every cut and order of the parts, ties included', () => {
    const score = fc.integer({ min: -3, max: 3 }); // few values: many ties
    fc.assert(
      fc.property(
        fc.array(score, {
          minLength: headCount * 2 * keyCount * rank,
          maxLength: headCount * 2 * keyCount * rank,
        }),
        fc.uniqueArray(fc.integer({ min: 1, max: keyCount - 1 }), { maxLength: 6 }),
        fc.boolean(),
        (scores, cuts, backwards) => {
          const refined = Float32Array.from(scores);
          const edges = [0, ...cuts.sort((a, b) => a - b), keyCount];
          const parts = edges.slice(1).map((end, i) => part(refined, edges[i], end));
          if (backwards) parts.reverse();
          expect(mergeCandidates(geometry, collapse, parts)).toEqual(part(refined, 0, keyCount));
        },
      ),
    );
  });

  it('refuses NaN, which has no order', () => {
    const refined = new Float32Array(headCount * 2 * keyCount * rank);
    const whole = part(refined, 0, keyCount);
    whole.refined[3] = Number.NaN;
    expect(() => mergeCandidates(geometry, collapse, [whole])).toThrow('a score is NaN');
  });

  it('refuses a list that is not best first', () => {
    const refined = Float32Array.from({ length: headCount * 2 * keyCount * rank }, (_, i) => -i);
    const lifted = part(refined, 0, keyCount);
    lifted.refined[rank] = 100; // the first head's row vector begins with 1
    expect(() => mergeCandidates(geometry, collapse, [lifted])).toThrow('expected best first');
    const flat = part(new Float32Array(refined.length), 0, keyCount);
    flat.index.set([1, 0]);
    expect(() => mergeCandidates(geometry, collapse, [flat])).toThrow('a worker listed key 1 before key 0');
  });
});
