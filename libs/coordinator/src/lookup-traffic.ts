import type { ShardLink } from './shard-link.ts';

/** What one lookup asked of one shard: tensor bytes, message heads excluded. */
export interface ShardTraffic {
  shard: number;
  workerId: string;
  slots: number;
  sentBytes: number;
  receivedBytes: number;
}

/** What one lookup cost, by phase and by shard. */
export class LookupTraffic {
  readonly phases: { name: string; ms: number }[] = [];
  readonly shards = new Map<number, ShardTraffic>();

  phase(name: string, ms: number): void {
    this.phases.push({ name, ms });
  }

  count(link: ShardLink, sentBytes: number, receivedBytes: number, slots = 0): void {
    const { workerId } = link;
    const { shard } = link.slice;
    const before = this.shards.get(shard) ?? { slots: 0, sentBytes: 0, receivedBytes: 0 };
    this.shards.set(shard, {
      shard,
      workerId,
      slots: before.slots + slots,
      sentBytes: before.sentBytes + sentBytes,
      receivedBytes: before.receivedBytes + receivedBytes,
    });
  }
}
