import type { Rounds } from './statistics.ts';

/** Something that is timed; it does nothing while the others run. */
export interface Side {
  /** Runs for about `seconds`, at least `atLeast` times; the milliseconds of each run. */
  time(seconds: number, atLeast: number): Promise<readonly number[]>;
}

export interface Pace {
  rounds: number;
  /** Of one side in one round. */
  seconds: number;
  /** Runs of one side in one round, however long they take. */
  atLeast: number;
  /** Of each side beforehand, which does not count. V8 takes thousands of calls to compile what a server runs all day. */
  warmUpSeconds: number;
  /** Between sides, so that threads of the one that ran go to sleep. */
  settleMs: number;
}

/** Ours, theirs, ours, theirs, ...: after everybody's warm-up. `[side][round][run]` */
export async function interleave(sides: readonly Side[], pace: Pace): Promise<Rounds[]> {
  const rounds: (readonly number[])[][] = sides.map(() => []);
  for (let round = -1; round < pace.rounds; round++)
    for (const [number, side] of sides.entries()) {
      await new Promise((resolve) => setTimeout(resolve, pace.settleMs));
      const samples = await side.time(
        round < 0 ? pace.warmUpSeconds : pace.seconds,
        round < 0 ? 1 : pace.atLeast,
      );
      if (round >= 0) rounds[number]!.push(samples);
    }
  return rounds;
}

/** Times a function of this process, one call after the other. */
export function ownSide(run: () => Promise<unknown>): Side {
  return {
    async time(seconds, atLeast) {
      const samples: number[] = [];
      const endMs = performance.now() + seconds * 1e3;
      while (samples.length < atLeast || performance.now() < endMs) {
        const startMs = performance.now();
        await run();
        samples.push(performance.now() - startMs);
      }
      return samples;
    },
  };
}

/** Divides by what one run does, such as the tokens of a generation. */
export function perUnit(side: Side, units: number): Side {
  return { time: async (seconds, atLeast) => (await side.time(seconds, atLeast)).map((ms) => ms / units) };
}
