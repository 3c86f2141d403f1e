import type { KeysMode } from '@ultramem/planner';

/** Where one call scores its keys. */
export type ScorePlace = 'coordinator' | 'workers';

const SMOOTHING = 0.2;
const SAMPLES_FIRST = 2;
const CALLS_BETWEEN_CHECKS = 64;

/**
 * Chooses where keys are scored, per call, from measured costs (`keys: auto`). Calls are grouped by the
 * power of two of their token count; in each group both places are tried, then the cheaper one is taken and the other
 * looked at again now and then, because the load of machines changes. The answer is the same either way.
 */
export class KeyCost {
  readonly #groups = new Map<
    number,
    { calls: number } & Record<ScorePlace, { samples: number; ms: number }>
  >();

  /** @param mode of the plan, which may have narrowed what was asked for */
  choose(mode: KeysMode, tokenCount: number): ScorePlace {
    if (mode !== 'auto') return mode;
    const group = this.#group(tokenCount);
    group.calls++;
    for (const place of ['coordinator', 'workers'] as const)
      if (group[place].samples < SAMPLES_FIRST) return place;
    const cheaper = group.coordinator.ms <= group.workers.ms ? 'coordinator' : 'workers';
    if (group.calls % CALLS_BETWEEN_CHECKS === 0)
      return cheaper === 'coordinator' ? 'workers' : 'coordinator';
    return cheaper;
  }

  /** Reports what a call took, from its start until its candidates were there. */
  measured(place: ScorePlace, tokenCount: number, ms: number): void {
    const cost = this.#group(tokenCount)[place];
    cost.ms = cost.samples === 0 ? ms : cost.ms + SMOOTHING * (ms - cost.ms);
    cost.samples++;
  }

  #group(tokenCount: number) {
    const key = Math.ceil(Math.log2(Math.max(1, tokenCount)));
    const known = this.#groups.get(key);
    if (known) return known;
    const group = { calls: 0, coordinator: { samples: 0, ms: 0 }, workers: { samples: 0, ms: 0 } };
    this.#groups.set(key, group);
    return group;
  }
}
