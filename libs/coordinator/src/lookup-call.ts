import type { Clock } from '@ultramem/environment';
import type { LookupTraffic } from './lookup-traffic.ts';
import type { RoutingTable } from './routing-table.ts';

/** One lookup under way: who owns what (fixed at its start), until when, and what it cost so far. */
export interface LookupCall {
  readonly table: RoutingTable;
  readonly clock: Clock;
  readonly deadlineAtMs: number;
  readonly traffic: LookupTraffic;
}
