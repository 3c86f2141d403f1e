import type { KeysMode } from '@ultramem/planner';

/** Where one call scores its keys. */
export type ScorePlace = 'coordinator' | 'workers';

const SMOOTHING = 0.2;
const SAMPLES_FIRST = 2;
/**
 * Between looks at the dearer place, for equal costs; times the ratio of the costs otherwise. So looking takes 1/256 of the
 * time at most, and is never one call of a hundred, which a 99th percentile would show.
 */
const CALLS_BETWEEN_CHECKS = 256;

interface Group {
  callsSinceCheck: number;
  coordinator: Cost;
  workers: Cost;
}

interface Cost {
  samples: number;
  ms: number;
}

/**
 * Chooses where keys are scored, per call, from measured costs (`keys: auto`). Calls are grouped by the
 * power of two of their token count; in each group both places are tried, then the cheaper one is taken and the other
 * looked at again now and then, because the load of machines changes. The answer is the same either way.
 */
export class KeyCost {
  readonly #groups = new Map<number, Group>();

  /** @param mode of the plan, which may have narrowed what was asked for */
  choose(mode: KeysMode, tokenCount: number): ScorePlace {
    if (mode !== 'auto') return mode;
    const group = this.#group(tokenCount);
    for (const place of ['coordinator', 'workers'] as const)
      if (group[place].samples < SAMPLES_FIRST) return place;
    const cheaper = group.coordinator.ms <= group.workers.ms ? 'coordinator' : 'workers';
    const dearer = cheaper === 'coordinator' ? 'workers' : 'coordinator';
    group.callsSinceCheck++;
    if (group.callsSinceCheck < (CALLS_BETWEEN_CHECKS * group[dearer].ms) / group[cheaper].ms) return cheaper;
    group.callsSinceCheck = 0;
    return dearer;
  }

  /** Reports what a call took, from its start until its candidates were there. */
  measured(place: ScorePlace, tokenCount: number, ms: number): void {
    const cost = this.#group(tokenCount)[place];
    // The very first call also pays for what a fresh process compiles, and whatever disturbs a call adds to it: less is believed at once.
    if (cost.samples < SAMPLES_FIRST || ms < cost.ms) cost.ms = Math.min(cost.ms, ms);
    else cost.ms += SMOOTHING * (ms - cost.ms);
    cost.samples++;
  }

  #group(tokenCount: number): Group {
    const key = Math.ceil(Math.log2(Math.max(1, tokenCount)));
    const known = this.#groups.get(key);
    if (known) return known;
    const untried = (): Cost => ({ samples: 0, ms: Number.POSITIVE_INFINITY });
    const group: Group = { callsSinceCheck: 0, coordinator: untried(), workers: untried() };
    this.#groups.set(key, group);
    return group;
  }
}
