import { type Rounds, ratioOf, spreadOf } from './statistics.ts';

/** One figure: ours beside one peer, or a figure alone. Times in milliseconds; ratios say how many times as long the peer takes. */
export interface Row {
  case: string;
  what: string;
  batch: number | null;
  dtype: string | null;
  backend: string;
  workers: number;
  oursMs: number | null;
  oursP10Ms: number | null;
  oursP90Ms: number | null;
  peer: string | null;
  peerMs: number | null;
  peerP10Ms: number | null;
  peerP90Ms: number | null;
  ratio: number | null;
  ratioP10: number | null;
  ratioP90: number | null;
  /** The smallest ratio that is good enough, or null where nothing is demanded. */
  goal: number | null;
  met: boolean | null;
  /** A figure that is no comparison, with its unit. */
  value: number | null;
  unit: string | null;
  note: string | null;
}

/** What a row is about. */
export type Subject = Pick<Row, 'case' | 'what' | 'backend'> &
  Partial<Pick<Row, 'batch' | 'dtype' | 'workers' | 'note'>>;

const NOTHING = {
  ...{ batch: null, dtype: null, workers: 0, note: null },
  ...{
    oursMs: null,
    oursP10Ms: null,
    oursP90Ms: null,
    peer: null,
    peerMs: null,
    peerP10Ms: null,
    peerP90Ms: null,
  },
  ...{ ratio: null, ratioP10: null, ratioP90: null, goal: null, met: null, value: null, unit: null },
};

export function comparison(
  subject: Subject,
  ours: Rounds,
  peer: { name: string; rounds: Rounds; goal: number | null },
): Row {
  const own = spreadOf(ours.flat());
  const theirs = spreadOf(peer.rounds.flat());
  const ratio = ratioOf(ours, peer.rounds);
  return {
    ...NOTHING,
    ...subject,
    ...{ oursMs: own.median, oursP10Ms: own.p10, oursP90Ms: own.p90 },
    ...{ peer: peer.name, peerMs: theirs.median, peerP10Ms: theirs.p10, peerP90Ms: theirs.p90 },
    ...{ ratio: ratio.median, ratioP10: ratio.p10, ratioP90: ratio.p90 },
    ...{ goal: peer.goal, met: peer.goal === null ? null : ratio.median >= peer.goal },
  };
}

/** Ours against a time that is no measurement of its own: a limit, a multiple, a demand. */
export function againstTime(
  subject: Subject,
  oursMs: number,
  peer: { name: string; ms: number; goal: number | null },
): Row {
  const ratio = peer.ms / oursMs;
  return {
    ...NOTHING,
    ...subject,
    ...{ oursMs, peer: peer.name, peerMs: peer.ms, ratio },
    ...{ goal: peer.goal, met: peer.goal === null ? null : ratio >= peer.goal },
  };
}

/** Ours alone, because a peer is missing; what was demanded of it stays open. */
export function alone(subject: Subject, ours: Rounds, goal: number | null = null): Row {
  const own = spreadOf(ours.flat());
  return { ...NOTHING, ...subject, oursMs: own.median, oursP10Ms: own.p10, oursP90Ms: own.p90, goal };
}

export function figure(subject: Subject, value: number, unit: string): Row {
  return { ...NOTHING, ...subject, value, unit };
}

/** What could not be measured, and why. */
export function missing(subject: Subject, goal: number | null = null): Row {
  return { ...NOTHING, ...subject, goal };
}
