import type { SequenceAttention } from '../attend-each.ts';
import type { Truth } from './checks.ts';

/** `x weightᵀ + bias`, straight from the definition. */
export function naiveMatmul(
  weight: Float32Array,
  x: Float32Array,
  size: { rows: number; columns: number; rowCount: number },
  bias: Float32Array | null,
): Truth {
  const truth = emptyTruth(size.rowCount * size.rows);
  for (let i = 0; i < size.rowCount; i++)
    for (let row = 0; row < size.rows; row++) {
      const at = i * size.rows + row;
      for (let c = 0; c < size.columns; c++)
        addTerm(truth, at, weight[row * size.columns + c] * x[i * size.columns + c]);
      if (bias !== null) addTerm(truth, at, bias[row]);
    }
  return truth;
}

/** SEMANTICS 2.2 step 5: the whole score row, a softmax without tricks, the weighted sum. */
export function naiveAttend(request: SequenceAttention): Truth {
  const { queryCount, keyCount, headCount, kvHeadCount, headWidth } = request;
  const truth = emptyTruth(queryCount * headCount * headWidth);
  for (let i = 0; i < queryCount; i++)
    for (let head = 0; head < headCount; head++) {
      const position = keyCount - queryCount + i;
      const kvHead = Math.floor(head / (headCount / kvHeadCount));
      const exponentials: number[] = [];
      for (let j = 0; j <= position; j++) {
        let score = 0;
        for (let c = 0; c < headWidth; c++)
          score +=
            request.query[(i * headCount + head) * headWidth + c] *
            request.keys[(j * kvHeadCount + kvHead) * headWidth + c];
        score /= Math.sqrt(headWidth);
        if (request.alibiSlopes !== null) score -= request.alibiSlopes[head] * Math.abs(position - j);
        exponentials.push(Math.exp(score));
      }
      const sum = exponentials.reduce((total, e) => total + e, 0);
      for (let j = 0; j <= position; j++)
        for (let c = 0; c < headWidth; c++)
          addTerm(
            truth,
            (i * headCount + head) * headWidth + c,
            (exponentials[j] / sum) * request.values[(j * kvHeadCount + kvHead) * headWidth + c],
          );
    }
  return truth;
}

export function emptyTruth(length: number): Truth {
  return { value: new Float64Array(length), magnitude: new Float64Array(length) };
}

export function addTerm(truth: Truth, at: number, term: number): void {
  truth.value[at] += term;
  truth.magnitude[at] += Math.abs(term);
}
