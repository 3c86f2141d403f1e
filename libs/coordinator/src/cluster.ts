import type { Clock } from '@ultramem/environment';
import { OperatingError, present } from '@ultramem/invariant';
import {
  applyEvent,
  type ClusterView,
  EMPTY_VIEW,
  Leases,
  type LeaseTerms,
  type Member,
  type ViewEvent,
} from '@ultramem/membership';
import type { Plan } from '@ultramem/planner';
import { errorOfEncoding, type MessageOfKind, type PooledEncoding } from '@ultramem/protocol';
import { type Channel, failureMessage } from '@ultramem/transport';
import { LatencyWindow } from './latency-window.ts';
import { encodingFor, isLoopback, type SlowLinks, timeLink } from './link-speed.ts';
import { type PlanTerms, placeShards, planMembers } from './place-shards.ts';
import { type RoutingTable, routingTable } from './routing-table.ts';
import type { ShardLink } from './shard-link.ts';

export type ClusterEvent =
  | { kind: 'joined'; workerId: string; peerName: string; members: number; wanted: number }
  | { kind: 'left'; workerId: string; shard: number | null; reason: string }
  | { kind: 'planned'; plan: Plan }
  | { kind: 'assigned'; workerId: string; shard: number; epoch: number }
  | { kind: 'worker-ready'; workerId: string; shard: number; epoch: number; residentBytes: number }
  | { kind: 'slow-link'; workerId: string; bytesPerSecond: number; pooledAs: PooledEncoding; numbers: string }
  | { kind: 'refused'; workerId: string; code: string; message: string }
  | { kind: 'ready'; epoch: number }
  | { kind: 'degraded'; epoch: number };

export interface ClusterOptions {
  clock: Clock;
  lease: LeaseTerms;
  workersWanted: number;
  terms: PlanTerms;
  slowLinks: SlowLinks;
  /** How long a slice may take to load. */
  loadDeadlineMs: number;
  onEvent: (event: ClusterEvent) => void;
  onDefect: (error: unknown) => void;
}

const LINK_TRIPS = 3;

/** What the coordinator keeps of a member beside the view. */
interface Contact {
  channel: Channel;
  latency: LatencyWindow;
  pulse: MessageOfKind<'pulse'> | null;
  roundTripMs: number;
  /** Whether the link was timed: a plan waits for all. */
  isTimed: boolean;
  /** Null on loopback, and where it was too fast to tell. */
  bytesPerSecond: number | null;
  pooledAs: PooledEncoding;
}

/** Members, plan and assignments of one cluster: takes events, applies the pure decisions, carries them out. */
export class Cluster {
  readonly #options: ClusterOptions;
  readonly #leases: Leases;
  readonly #contacts = new Map<string, Contact>();
  #view: ClusterView = EMPTY_VIEW;
  #plan: Plan | null = null;
  #routes: { view: ClusterView; table: RoutingTable } | null = null;
  #wasReady = false;
  #cancelWatch: () => void;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#leases = new Leases(options.lease);
    this.#cancelWatch = this.#watchLeases();
  }

  get view(): ClusterView {
    return this.#view;
  }

  get plan(): Plan | null {
    return this.#plan;
  }

  /** waiting: not all workers have joined yet; loading: the first slices are on their way; degraded: was ready once and is not now. */
  get state(): 'waiting' | 'loading' | 'ready' | 'degraded' {
    const ready =
      this.#plan !== null &&
      this.#view.members.filter((member) => member.state === 'ready').length === this.#plan.slices.length;
    if (ready) return 'ready';
    if (this.#wasReady) return 'degraded';
    return this.#plan === null ? 'waiting' : 'loading';
  }

  contactOf(workerId: string): Readonly<Contact> & { silentMs: number } {
    return {
      ...this.#contact(workerId),
      silentMs: this.#leases.silentMs(workerId, this.#options.clock.nowMs()),
    };
  }

  /** @throws OperatingError NOT_READY, SHARD_UNAVAILABLE */
  routing(): RoutingTable {
    // A view never changes, and every event makes a new one: the table of a view is good as long as the view is.
    if (this.#routes?.view === this.#view) return this.#routes.table;
    const table = routingTable(this.#view, this.#plan, this.#options.workersWanted, (workerId): ShardLink => {
      const { shard, epoch } = this.#member(workerId);
      const { channel, latency, pooledAs } = this.#contact(workerId);
      return {
        slice: present(this.#plan, 'routes follow a plan').slices[present(shard, 'an owner has a shard')],
        workerId,
        epoch,
        channel,
        latency,
        pooledAs,
      };
    });
    this.#routes = { view: this.#view, table };
    return table;
  }

  /** Takes a worker in that has been admitted. A new connection of the same process replaces its old one. */
  join(worker: Pick<Member, 'workerId' | 'instance' | 'capacityBytes' | 'backend'>, channel: Channel): void {
    const { workerId } = worker;
    const twin = this.#contacts.get(workerId);
    if (twin !== undefined) {
      this.lost(workerId, twin.channel, 'the same process connected anew');
      twin.channel.close('replaced by a new connection of this process');
    }
    const contact: Contact = {
      channel,
      latency: new LatencyWindow(),
      pulse: null,
      roundTripMs: Number.POSITIVE_INFINITY,
      isTimed: false,
      bytesPerSecond: null,
      pooledAs: 'f32',
    };
    this.#contacts.set(workerId, contact);
    this.#leases.renew(workerId, this.#options.clock.nowMs());
    this.#apply({ kind: 'joined', member: { ...worker, peerName: channel.peerName } });
    this.#options.onEvent({
      kind: 'joined',
      workerId,
      peerName: channel.peerName,
      members: this.#view.members.length,
      wanted: this.#options.workersWanted,
    });
    void this.#measureLink(workerId)
      .then(() => {
        contact.isTimed = true;
        this.#place();
        return this.#beat(workerId, channel);
      })
      .catch(this.#options.onDefect);
  }

  /** A worker's connection has ended, or it said goodbye. */
  lost(workerId: string, channel: Channel, reason: string): void {
    if (this.#contacts.get(workerId)?.channel !== channel) return;
    const shard = this.#memberOf(workerId)?.shard ?? null;
    this.#contacts.delete(workerId);
    this.#leases.end(workerId);
    this.#apply({ kind: 'left', workerId });
    this.#options.onEvent({ kind: 'left', workerId, shard, reason });
    if (this.state === 'degraded' && shard !== null)
      this.#options.onEvent({ kind: 'degraded', epoch: this.#view.epoch });
    this.#place();
  }

  close(): void {
    this.#cancelWatch();
    const contacts = [...this.#contacts.values()];
    // Forgotten first: that they are lost now is nothing to report, and no shard is given to the next one.
    this.#contacts.clear();
    this.#view = EMPTY_VIEW;
    for (const { channel } of contacts) {
      channel.notify({ kind: 'leave', reason: 'the coordinator is stopping' });
      channel.close('the coordinator is stopping');
    }
  }

  /** Fresh counters of every member that answers within `deadlineMs`; the others keep their last ones. */
  async refreshPulses(deadlineMs: number): Promise<void> {
    await Promise.all([...this.#contacts.keys()].map((workerId) => this.#askPulse(workerId, deadlineMs)));
  }

  /** A few round trips at once: the first ones also pay for what a fresh process compiles. */
  async #measureLink(workerId: string): Promise<void> {
    for (let trip = 0; trip < LINK_TRIPS && this.#contacts.has(workerId); trip++)
      await this.#askPulse(workerId, this.#options.lease.leaseMs);
    const contact = this.#contacts.get(workerId);
    if (contact === undefined || isLoopback(contact.channel.peerName)) return;
    const echo = (echoBytes: number) => this.#echo(workerId, contact, echoBytes);
    const measured = await timeLink(echo, contact.roundTripMs);
    const bytesPerSecond = measured === null ? null : Math.round(measured);
    contact.bytesPerSecond = bytesPerSecond;
    contact.pooledAs = encodingFor(bytesPerSecond, this.#options.slowLinks);
    this.#routes = null; // one that was made meanwhile does not know
    const { pooledAs } = contact;
    if (bytesPerSecond === null || pooledAs === 'f32') return;
    const numbers = errorOfEncoding(pooledAs);
    this.#options.onEvent({ kind: 'slow-link', workerId, bytesPerSecond, pooledAs, numbers });
  }

  /** How long an answer of so many bytes took; null where none came. */
  async #echo(workerId: string, contact: Contact, echoBytes: number): Promise<number | null> {
    const { clock, lease } = this.#options;
    const startMs = clock.nowMs();
    try {
      await contact.channel.request({ kind: 'heartbeat', echoBytes }, { deadlineMs: lease.leaseMs });
      if (this.#contacts.get(workerId) === contact) this.#leases.renew(workerId, clock.nowMs());
    } catch (error) {
      if (error instanceof OperatingError) return null; // silence is judged by the lease
      throw error;
    }
    return clock.nowMs() - startMs;
  }

  /** A sign of life now and then every heartbeat, as long as the connection lasts. */
  async #beat(workerId: string, channel: Channel): Promise<void> {
    const { clock, lease, onDefect } = this.#options;
    if (this.#contacts.get(workerId)?.channel !== channel) return;
    await this.#askPulse(workerId, lease.leaseMs);
    clock.after(lease.heartbeatMs, () => void this.#beat(workerId, channel).catch(onDefect));
  }

  async #askPulse(workerId: string, deadlineMs: number): Promise<void> {
    const { clock } = this.#options;
    const contact = this.#contact(workerId);
    const startMs = clock.nowMs();
    try {
      contact.pulse = await contact.channel.request({ kind: 'heartbeat', echoBytes: 0 }, { deadlineMs });
      contact.roundTripMs = Math.min(contact.roundTripMs, clock.nowMs() - startMs);
      if (this.#contacts.get(workerId) === contact) this.#leases.renew(workerId, clock.nowMs());
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error; // silence is judged by the lease
    }
  }

  /** Plans when everybody is there, then gives every free shard to whoever can take it. */
  #place(): void {
    const { workersWanted, terms, onEvent } = this.#options;
    try {
      if (this.#plan === null) {
        if ([...this.#contacts.values()].some(({ isTimed }) => !isTimed)) return;
        this.#plan = planMembers(this.#view, workersWanted, this.#measuredTerms());
        if (this.#plan === null) return;
        onEvent({ kind: 'planned', plan: this.#plan });
      }
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      const smallest = [...this.#view.members].sort((a, b) => a.capacityBytes - b.capacityBytes)[0];
      this.#refuse(smallest.workerId, error);
      return;
    }
    for (const { workerId, shard } of placeShards(this.#view, this.#plan, terms)) {
      this.#apply({ kind: 'assigned', workerId, shard });
      void this.#assign(workerId, shard).catch(this.#options.onDefect);
    }
  }

  async #assign(workerId: string, shard: number): Promise<void> {
    const { onEvent, loadDeadlineMs } = this.#options;
    const { channel } = this.#contact(workerId);
    const { epoch } = this.#member(workerId);
    const { rows, columns, preColumns, keys } = present(this.#plan, 'an assignment follows a plan').slices[
      shard
    ];
    onEvent({ kind: 'assigned', workerId, shard, epoch });
    try {
      const answer = await channel.request(
        { kind: 'assign', epoch, shard, rows, columns, preColumns, keys },
        { deadlineMs: loadDeadlineMs },
      );
      if (this.#contacts.get(workerId)?.channel !== channel) return;
      this.#apply({ kind: 'ready', workerId, epoch });
      onEvent({ kind: 'worker-ready', workerId, shard, epoch, residentBytes: answer.residentBytes });
      if (this.state === 'ready') {
        this.#wasReady = true;
        onEvent({ kind: 'ready', epoch: this.#view.epoch });
      }
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      if (this.#contacts.get(workerId)?.channel === channel) this.#refuse(workerId, error);
    }
  }

  /** Tells a worker why it cannot stay, and lets it go. */
  #refuse(workerId: string, error: OperatingError): void {
    const { channel } = this.#contact(workerId);
    this.#options.onEvent({ kind: 'refused', workerId, code: error.code, message: error.message });
    channel.notify(failureMessage(null, error));
    channel.close(error.code);
    this.lost(workerId, channel, error.code);
  }

  #watchLeases(): () => void {
    const { clock, lease } = this.#options;
    return clock.after(lease.heartbeatMs, () => {
      for (const workerId of this.#leases.expired(clock.nowMs())) {
        const { channel } = this.#contact(workerId);
        const reason = `no sign of life for ${lease.leaseMs} ms`;
        channel.close(reason);
        this.lost(workerId, channel, reason);
      }
      this.#cancelWatch = this.#watchLeases();
    });
  }

  /** The link as the heartbeats saw it: the slowest member decides, because every phase waits for all. */
  #measuredTerms(): PlanTerms {
    const { terms } = this.#options;
    const contacts = [...this.#contacts.values()];
    const measuredMs = Math.max(...contacts.map((contact) => contact.roundTripMs));
    const speeds = contacts.map(({ bytesPerSecond }) => bytesPerSecond ?? terms.link.bytesPerSecond);
    return Number.isFinite(measuredMs)
      ? { ...terms, link: { roundTripMs: measuredMs, bytesPerSecond: Math.min(...speeds) } }
      : terms;
  }

  #contact(workerId: string): Contact {
    return present(this.#contacts.get(workerId), `${workerId} is connected`);
  }

  #member(workerId: string): Member {
    return present(this.#memberOf(workerId), `${workerId} is a member`);
  }

  #memberOf(workerId: string): Member | undefined {
    return this.#view.members.find((member) => member.workerId === workerId);
  }

  #apply(event: ViewEvent): void {
    this.#view = applyEvent(this.#view, event);
  }
}
