import { AssertionError, OperatingError } from '@ultramem/invariant';
import type { Kernels } from '../kernels.ts';

/** One thing every backend must do. It throws when the backend does not. */
export interface ConformanceCase {
  name: string;
  run(kernels: Kernels): Promise<void>;
}

/** A result in f64 and, per element, the sum of the absolute terms that it was made of: errors are relative to that. */
export interface Truth {
  value: Float64Array;
  magnitude: Float64Array;
}

/** Room for sums of a few hundred terms in f32. */
const RELATIVE_ERROR_MAX = 1e-5;
/** Half a step of the smallest f32, for results that are denormal. */
const ABSOLUTE_ERROR_MAX = 1e-45;

const F32_MAX = 3.4028234663852886e38;

export function expectClose(what: string, got: ArrayLike<number>, { value, magnitude }: Truth): void {
  expectLength(what, got, value.length);
  for (let i = 0; i < value.length; i++) {
    const want = value[i];
    const fits =
      Math.abs(want) > F32_MAX
        ? got[i] === Math.sign(want) * Number.POSITIVE_INFINITY
        : Math.abs(got[i] - want) <= RELATIVE_ERROR_MAX * magnitude[i] + ABSOLUTE_ERROR_MAX;
    if (!fits) throw new Error(`${what}[${i}] is ${got[i]}, expected ${want}`);
  }
}

/** Bit for bit, apart from the payload of a NaN. */
export function expectSame(what: string, got: ArrayLike<number>, want: ArrayLike<number>): void {
  expectLength(what, got, want.length);
  for (let i = 0; i < want.length; i++)
    if (!Object.is(got[i], want[i]))
      throw new Error(`${what}[${i}] is ${got[i]}, expected exactly ${want[i]}`);
}

export async function expectFailure(code: string, action: () => Promise<unknown>): Promise<void> {
  const error = await failureOf(action);
  if (!(error instanceof OperatingError)) throw new Error(`expected the error ${code}, got ${String(error)}`);
  if (error.code !== code) throw new Error(`expected the error ${code}, got ${error.code}`);
  if (error.message.split('; ').length !== 3)
    throw new Error(`expected a message of three parts, got "${error.message}"`);
}

export async function expectAssertion(action: () => Promise<unknown>): Promise<void> {
  const error = await failureOf(action);
  if (!(error instanceof AssertionError)) throw new Error(`expected an assertion, got ${String(error)}`);
}

async function failureOf(action: () => Promise<unknown>): Promise<unknown> {
  try {
    await action();
  } catch (error) {
    return error;
  }
  throw new Error('expected an error, got an answer');
}

function expectLength(what: string, got: ArrayLike<number>, length: number): void {
  if (got.length !== length) throw new Error(`${what} has ${got.length} elements, expected ${length}`);
}
