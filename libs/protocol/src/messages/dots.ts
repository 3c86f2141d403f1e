import { defineMessage } from '../define-message.ts';
import { f64, u32 } from '../schema.ts';

/**
 * Answers `prescore`.
 *
 * dots => id computeMs dots
 *   computeMs => f64         time in the kernels
 *   dots => f64 [entries], partial: over the worker's columns
 */
export const dots = defineMessage({ kind: 'dots', head: { id: u32, computeMs: f64 }, bulk: { dots: 'f64' } });
