import { AssertionError } from '@ultramem/invariant';
import { expect, it } from 'vitest';
import { type JoinState, nextState } from './join.ts';

const ways: Record<JoinState, readonly JoinState[]> = {
  connecting: ['greeting', 'connecting', 'left'],
  greeting: ['standby', 'connecting', 'left'],
  standby: ['loading', 'connecting', 'left'],
  loading: ['ready', 'standby', 'connecting', 'left'],
  ready: ['loading', 'connecting', 'left'],
  left: [],
};
const states = Object.keys(ways) as JoinState[];

it.each(states.flatMap((from) => states.map((to) => ({ from, to }))))('$from to $to', ({ from, to }) => {
  if (ways[from].includes(to)) expect(nextState(from, to)).toBe(to);
  else expect(() => nextState(from, to)).toThrow(AssertionError);
});
