import { expect, it } from 'vitest';
import { Leases } from './lease.ts';

it('ends a lease after silence, counted from the last word', () => {
  const leases = new Leases({ heartbeatMs: 10, leaseMs: 50 });
  leases.renew('a', 0);
  leases.renew('b', 0);
  leases.renew('b', 40);
  expect(leases.expired(50)).toEqual([]);
  expect(leases.expired(51)).toEqual(['a']);
  expect(leases.silentMs('b', 51)).toBe(11);
  leases.end('a');
  expect(leases.expired(51)).toEqual([]);
});
