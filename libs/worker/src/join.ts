import { assert } from '@ultramem/invariant';

/** Where a worker stands between its start and its end. */
export type JoinState = 'connecting' | 'greeting' | 'standby' | 'loading' | 'ready' | 'left';

// Any state may fall back to connecting when the connection ends, or end when the worker is told to leave.
const NEXT: Record<JoinState, readonly JoinState[]> = {
  connecting: ['greeting', 'connecting', 'left'],
  greeting: ['standby', 'connecting', 'left'],
  standby: ['loading', 'connecting', 'left'],
  loading: ['ready', 'standby', 'connecting', 'left'],
  ready: ['loading', 'connecting', 'left'],
  left: [],
};

export function nextState(from: JoinState, to: JoinState): JoinState {
  assert(NEXT[from].includes(to), `a worker may not go from ${from} to ${to}`);
  return to;
}
