import type { Checkpoint } from '@ultramem/checkpoint';
import { OperatingError } from '@ultramem/invariant';
import type { ActivationDType } from '@ultramem/kernels';

/** @throws OperatingError USAGE where the model stores no weights that activations in bf16 would change anything for */
export function checkActivations(checkpoint: Checkpoint, activations: ActivationDType): void {
  const { name, dtype } = checkpoint.tensor('transformer.blocks.0.att_proj.weight');
  if (activations === 'F32' || dtype === 'BF16') return;
  throw new OperatingError(
    'USAGE',
    `--activations is bf16, but ${name} is stored in ${dtype}; expected a model with weights in BF16; leave --activations out, or give such a model`,
  );
}
