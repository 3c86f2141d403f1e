import { addIntoCases } from './conformance/add-into-cases.ts';
import { addressCases } from './conformance/address-cases.ts';
import { attendBatchCases, attendCases } from './conformance/attend-cases.ts';
import type { ConformanceCase } from './conformance/checks.ts';
import { dotCases } from './conformance/dot-cases.ts';
import { feedForwardCases } from './conformance/feed-forward-cases.ts';
import { gridCases } from './conformance/grid-cases.ts';
import { matmulCases, roundedMatmulCases } from './conformance/matmul-cases.ts';
import { mergeCases } from './conformance/merge-cases.ts';
import { normaliseCases } from './conformance/normalise-cases.ts';
import { packCases } from './conformance/pack-cases.ts';
import { poolCases } from './conformance/pool-cases.ts';
import { poolRefusalCases, poolRuleCases } from './conformance/pool-rule-cases.ts';
import { rotateCases } from './conformance/rotate-cases.ts';
import { scoreCases, scoreRefusalCases, scoreRuleCases } from './conformance/score-cases.ts';
import { selectCases } from './conformance/select-cases.ts';

export type { ConformanceCase } from './conformance/checks.ts';

/**
 * What every backend must do, as cases that any test runner can run: each throws when the backend does not comply. The
 * expected values come from naive loops in f64, not from the reference kernels, which are run like any other backend.
 */
export function kernelConformance(): ConformanceCase[] {
  return [
    ...matmulCases(),
    ...roundedMatmulCases(),
    ...feedForwardCases(),
    ...normaliseCases(),
    ...rotateCases(),
    ...addIntoCases(),
    ...attendCases(),
    ...attendBatchCases(),
    ...scoreCases(),
    ...scoreRuleCases(),
    ...scoreRefusalCases(),
    ...gridCases(),
    ...selectCases(),
    ...addressCases(),
    ...poolCases(),
    ...poolRuleCases(),
    ...poolRefusalCases(),
    ...dotCases(),
    ...mergeCases(),
    ...packCases(),
  ];
}
