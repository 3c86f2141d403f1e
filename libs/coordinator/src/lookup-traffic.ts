import type { ShardLink } from './shard-link.ts';

/** What one lookup cost: time by phase, and tensor bytes by shard (message heads excluded). */
export class LookupTraffic {
  readonly phases: { name: string; ms: number }[] = [];
  readonly shards = new Map<number, { slots: number; sentBytes: number; receivedBytes: number }>();

  phase(name: string, ms: number): void {
    this.phases.push({ name, ms });
  }

  count(link: ShardLink, sentBytes: number, receivedBytes: number, slots = 0): void {
    const { shard } = link.slice;
    const before = this.shards.get(shard) ?? { slots: 0, sentBytes: 0, receivedBytes: 0 };
    this.shards.set(shard, {
      slots: before.slots + slots,
      sentBytes: before.sentBytes + sentBytes,
      receivedBytes: before.receivedBytes + receivedBytes,
    });
  }
}
