import { defineMessage } from '../define-message.ts';
import { f64, u32 } from '../schema.ts';

/**
 * Answers `evaluate`.
 *
 * evaluation => id lossSum tokenCount elapsedMs hiddenFraction
 *   lossSum => f64           of the natural-log losses of the predicted tokens
 *   tokenCount => u32        predicted tokens
 *   elapsedMs => f64
 *   hiddenFraction => f64    as in `generated`
 */
export const evaluation = defineMessage({
  kind: 'evaluation',
  head: { id: u32, lossSum: f64, tokenCount: u32, elapsedMs: f64, hiddenFraction: f64 },
});
