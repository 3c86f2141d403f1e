import { OperatingError } from '@ultramem/invariant';
import type { ActivationDType } from '@ultramem/kernels';

const ACTIVATIONS: Readonly<Record<string, ActivationDType>> = { f32: 'F32', bf16: 'BF16' };

/** @throws OperatingError USAGE */
export function parseActivations(text: string): ActivationDType {
  if (Object.hasOwn(ACTIVATIONS, text)) return ACTIVATIONS[text];
  throw new OperatingError(
    'USAGE',
    `--activations is ${JSON.stringify(text)}; expected ${Object.keys(ACTIVATIONS).join(' or ')}; correct it, or leave it out`,
  );
}

/** The flag's help, the same in every program. */
export const ACTIVATIONS_HELP =
  'what weights stored in bf16 multiply: f32 (exact), or bf16 as PyTorch does (faster in batches and prompts)';
