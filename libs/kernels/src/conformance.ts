import type { ConformanceCase } from './conformance/checks.ts';
import { attendCases, matmulCases } from './conformance/dense-cases.ts';
import { gridCases } from './conformance/grid-cases.ts';
import { dotCases, poolCases, poolRuleCases } from './conformance/pool-cases.ts';
import { scoreCases } from './conformance/score-cases.ts';

export type { ConformanceCase } from './conformance/checks.ts';

/**
 * What every backend must do, as cases that any test runner can run: each throws when the backend does not comply. The
 * expected values come from naive loops in f64, not from the reference kernels, which are run like any other backend.
 */
export function kernelConformance(): ConformanceCase[] {
  return [
    ...matmulCases(),
    ...attendCases(),
    ...scoreCases(),
    ...gridCases(),
    ...poolCases(),
    ...poolRuleCases(),
    ...dotCases(),
  ];
}
