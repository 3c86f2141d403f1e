import { describe, expect, it } from 'vitest';
import { KeyCost } from './key-cost.ts';

/** One call: where it was scored, after reporting what it cost there. */
function call(cost: KeyCost, tokenCount: number, ms: { coordinator: number; workers: number }) {
  const place = cost.choose('auto', tokenCount);
  cost.measured(place, tokenCount, ms[place]);
  return place;
}

describe('KeyCost', () => {
  it('does as the plan says where it leaves no choice', () => {
    const cost = new KeyCost();
    cost.measured('coordinator', 1, 1000);
    expect(cost.choose('coordinator', 1)).toBe('coordinator');
    expect(cost.choose('workers', 1)).toBe('workers');
  });

  it('tries both places twice, then takes the cheaper one', () => {
    const cost = new KeyCost();
    const places = Array.from({ length: 6 }, () => call(cost, 1, { coordinator: 5, workers: 2 }));
    expect(places).toEqual(['coordinator', 'coordinator', 'workers', 'workers', 'workers', 'workers']);
  });

  it('looks at the dearer one again the more seldom the dearer it is', () => {
    for (const [workersMs, between] of [
      [1.5, 384],
      [100, 25_600],
    ]) {
      const cost = new KeyCost();
      const ms = { coordinator: 1, workers: workersMs };
      for (let i = 0; i < 4; i++) call(cost, 1, ms);
      const places = Array.from({ length: 2 * between }, () => call(cost, 1, ms));
      expect(places.flatMap((place, i) => (place === 'workers' ? [i + 1] : []))).toEqual([
        between,
        2 * between,
      ]);
    }
  });

  it('changes its mind when the load has changed, and does not hold the first call against a place', () => {
    const cost = new KeyCost();
    call(cost, 1, { coordinator: 500, workers: 2 });
    for (let i = 0; i < 9; i++) call(cost, 1, { coordinator: 1, workers: 2 });
    expect(call(cost, 1, { coordinator: 1, workers: 2 })).toBe('coordinator');
    const after = Array.from({ length: 40 }, () => call(cost, 1, { coordinator: 100, workers: 2 }));
    expect(after.at(-1)).toBe('workers');
  });

  it('takes a place whose first calls were disturbed as soon as a look at it shows what it costs', () => {
    const cost = new KeyCost();
    for (let i = 0; i < 4; i++) call(cost, 1, { coordinator: 8, workers: 4 });
    const places = Array.from({ length: 513 }, () => call(cost, 1, { coordinator: 1, workers: 4 }));
    expect(places.indexOf('coordinator')).toBe(511);
    expect(places.at(-1)).toBe('coordinator');
  });

  it('decides anew for each power of two of the batch', () => {
    const cost = new KeyCost();
    for (let i = 0; i < 8; i++) call(cost, 1, { coordinator: 1, workers: 2 });
    for (let i = 0; i < 8; i++) call(cost, 256, { coordinator: 9, workers: 2 });
    expect(cost.choose('auto', 1)).toBe('coordinator');
    expect([129, 200, 256].map((tokenCount) => cost.choose('auto', tokenCount))).toEqual(
      Array(3).fill('workers'),
    );
    expect(cost.choose('auto', 257)).toBe('coordinator'); // untried
  });
});
