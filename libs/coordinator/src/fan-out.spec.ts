import type { CancelSignal } from '@ultramem/transport';
import { describe, expect, it } from 'vitest';
import { fanOut } from './fan-out.ts';

describe('fanOut', () => {
  it('gives results in the order of the calls, not of their ends', async () => {
    const ends: (() => void)[] = [];
    const results = fanOut(
      ['a', 'b', 'c'].map((name) => async () => {
        await new Promise<void>((resolve) => ends.push(resolve));
        return name;
      }),
    );
    for (const end of ends.reverse()) end();
    expect(await results).toEqual(['a', 'b', 'c']);
    expect(await fanOut([])).toEqual([]);
  });

  it('gives the others up at the first failure, waits for them, and throws the first one', async () => {
    const log: string[] = [];
    const first = new Error('first');
    const failing = async () => {
      await Promise.resolve();
      throw first;
    };
    const results = fanOut([
      (signal) =>
        new Promise((_, reject) => {
          expect(signal.aborted).toBe(false);
          signal.addEventListener('abort', () => {
            log.push(`aborted ${signal.aborted}`);
            void Promise.resolve().then(() => {
              log.push('ended');
              reject(new Error('second'));
            });
          });
        }),
      failing,
    ]);
    await expect(results).rejects.toBe(first);
    expect(log).toEqual(['aborted true', 'ended']);
  });

  it('tells nobody who has stopped listening, and nobody twice', async () => {
    let told = 0;
    const listener = () => void told++;
    const failing = async () => {
      throw new Error('over');
    };
    const results = fanOut([
      async (signal) => {
        signal.addEventListener('abort', listener);
        signal.removeEventListener('abort', listener);
        signal.addEventListener('abort', () => {
          told += 10;
        });
      },
      failing,
      failing,
    ]);
    await expect(results).rejects.toThrow('over');
    expect(told).toBe(10);
  });

  it('is given up with the one that it is part of', async () => {
    const waiting = (signal: CancelSignal) =>
      new Promise<never>((_, reject) =>
        signal.addEventListener('abort', () => reject(new Error('given up'))),
      );
    const log: string[] = [];
    const results = fanOut([
      (signal) => fanOut([waiting, waiting], signal).catch((error: Error) => void log.push(error.message)),
      async (signal) => {
        await fanOut([async () => 'soon over'], signal);
        throw new Error('first');
      },
    ]);
    await expect(results).rejects.toThrow('first');
    expect(log).toEqual(['given up']);
    await fanOut([
      async (signal) => {
        await expect(fanOut([async ({ aborted }) => aborted], signal)).resolves.toEqual([false]);
      },
    ]);
  });
});
