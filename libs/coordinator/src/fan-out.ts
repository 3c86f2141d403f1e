import type { CancelSignal } from '@ultramem/transport';

/**
 * Runs every call at once and gives their results in the order of the calls. The first failure gives the others up and is
 * thrown after all have ended, so that nothing is left running.
 *
 * @param parent gives all of them up
 */
export async function fanOut<T>(
  calls: readonly ((signal: CancelSignal) => Promise<T>)[],
  parent?: CancelSignal,
): Promise<T[]> {
  const abort = createAbort();
  if (parent?.aborted) abort.abort();
  parent?.addEventListener('abort', abort.abort);
  let first: { error: unknown } | null = null;
  const results = await Promise.allSettled(
    calls.map((call) =>
      call(abort.signal).catch((error: unknown) => {
        first ??= { error };
        abort.abort();
        throw error;
      }),
    ),
  );
  parent?.removeEventListener('abort', abort.abort);
  if (first !== null) throw (first as { error: unknown }).error;
  return results.map((result) => (result as PromiseFulfilledResult<Awaited<T>>).value);
}

function createAbort(): { signal: CancelSignal; abort(): void } {
  const listeners = new Set<() => void>();
  let aborted = false;
  return {
    signal: {
      get aborted() {
        return aborted;
      },
      addEventListener: (_, listener) => void listeners.add(listener),
      removeEventListener: (_, listener) => void listeners.delete(listener),
    },
    abort: () => {
      if (aborted) return;
      aborted = true;
      for (const listener of [...listeners]) listener();
    },
  };
}
