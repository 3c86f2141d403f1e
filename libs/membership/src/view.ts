import { assert } from '@ultramem/invariant';

/** What one worker said of itself, and what it is doing now. */
export interface Member {
  readonly workerId: string;
  /** Drawn anew by each worker process: tells a reconnecting process from a second one with the same id. */
  readonly instance: string;
  readonly capacityBytes: number;
  readonly backend: string;
  readonly peerName: string;
  readonly state: MemberState;
  /** Shard it holds or loads; null on standby. */
  readonly shard: number | null;
  /** Epoch of that assignment. Requests carry it, so that an answer from an older slice cannot be taken for a new one. */
  readonly epoch: number;
}

/** standby: holds nothing; loading: has been assigned a shard; ready: answers for it. */
export type MemberState = 'standby' | 'loading' | 'ready';

/** Who is in, since which epoch. Members in order of joining. */
export interface ClusterView {
  readonly epoch: number;
  readonly members: readonly Member[];
}

export const EMPTY_VIEW: ClusterView = { epoch: 0, members: [] };

export type ViewEvent =
  | {
      kind: 'joined';
      member: Pick<Member, 'workerId' | 'instance' | 'capacityBytes' | 'backend' | 'peerName'>;
    }
  | { kind: 'assigned'; workerId: string; shard: number }
  | { kind: 'ready'; workerId: string; epoch: number }
  | { kind: 'left'; workerId: string };

/** The next view. Every event but a stale `ready` raises the epoch; an assignment's epoch is the view's after it. */
export function applyEvent(view: ClusterView, event: ViewEvent): ClusterView {
  const epoch = view.epoch + 1;
  const { members } = view;
  const change = (workerId: string, next: (member: Member) => Member): ClusterView => {
    assert(
      members.some((member) => member.workerId === workerId),
      `${workerId} is a member`,
    );
    return {
      epoch,
      members: members.map((member) => (member.workerId === workerId ? next(member) : member)),
    };
  };
  switch (event.kind) {
    case 'joined':
      assert(!members.some((member) => member.workerId === event.member.workerId), 'worker ids are unique');
      return { epoch, members: [...members, { ...event.member, state: 'standby', shard: null, epoch: 0 }] };
    case 'assigned':
      assert(!members.some((member) => member.shard === event.shard), 'a shard has one owner');
      return change(event.workerId, (member) => ({ ...member, state: 'loading', shard: event.shard, epoch }));
    case 'ready': {
      const member = members.find((other) => other.workerId === event.workerId);
      if (member?.epoch !== event.epoch || member.state !== 'loading') return view;
      return change(event.workerId, (loading) => ({ ...loading, state: 'ready' }));
    }
    case 'left':
      assert(
        members.some((member) => member.workerId === event.workerId),
        `${event.workerId} is a member`,
      );
      return { epoch, members: members.filter((member) => member.workerId !== event.workerId) };
  }
}

/** Shards of 0 .. shardCount - 1 that nobody holds or loads. */
export function orphanedShards(view: ClusterView, shardCount: number): number[] {
  const held = new Set(view.members.map((member) => member.shard));
  return Array.from({ length: shardCount }, (_, shard) => shard).filter((shard) => !held.has(shard));
}
