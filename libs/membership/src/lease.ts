/** How long silence is taken for life. The heartbeat is a third of the lease, so one lost beat changes nothing. */
export interface LeaseTerms {
  readonly heartbeatMs: number;
  readonly leaseMs: number;
}

export const LEASE_TERMS: LeaseTerms = { heartbeatMs: 1_000, leaseMs: 5_000 };

/** When each member was last heard, in the coordinator's own view: no clock of another machine is believed. */
export class Leases {
  readonly #terms: LeaseTerms;
  readonly #heardMs = new Map<string, number>();

  constructor(terms: LeaseTerms) {
    this.#terms = terms;
  }

  renew(workerId: string, nowMs: number): void {
    this.#heardMs.set(workerId, nowMs);
  }

  end(workerId: string): void {
    this.#heardMs.delete(workerId);
  }

  silentMs(workerId: string, nowMs: number): number {
    return nowMs - (this.#heardMs.get(workerId) ?? nowMs);
  }

  expired(nowMs: number): string[] {
    return [...this.#heardMs]
      .filter(([, heardMs]) => nowMs - heardMs > this.#terms.leaseMs)
      .map(([workerId]) => workerId);
  }
}
