import { expect, it } from 'vitest';
import { InFlight } from './in-flight.ts';

it('holds entries by id in the order of their start', () => {
  const inFlight = new InFlight<{ id: number; name: string }>();
  for (const [id, name] of ['a', 'b', 'c', 'd'].entries()) inFlight.add({ id: 10 + id, name });
  const before = inFlight.all();
  expect(inFlight.get(11)?.name).toBe('b');
  expect(inFlight.take(11)?.name).toBe('b');
  expect(inFlight.take(11)).toBeUndefined();
  expect(inFlight.get(11)).toBeUndefined();
  expect(inFlight.size).toBe(3);
  expect(before).toHaveLength(4);
  expect(inFlight.takeAll().map(({ name }) => name)).toEqual(['a', 'c', 'd']);
  expect(inFlight.size).toBe(0);
});
