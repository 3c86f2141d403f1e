import { spawnSync } from 'node:child_process';
import type { Program } from '@ultramem/local-cluster';

/** A real link with a rate, between this network and one that has nothing else in it. */
export interface SlowLink {
  /** This end: what to listen at. */
  host: string;
  /** The same program, in the network at the other end. */
  beyond(program: Program): Program;
  drop(): void;
}

/**
 * Lays two connected devices, one of them in a network namespace of its own, and holds both to `rate` (as `tc` writes it). Needs Linux,
 * root and iproute2.
 *
 * @returns the link, or why there is none
 */
export function layLink(rate: string): SlowLink | { why: string } {
  const space = `ultramem-${process.pid}`;
  // A network of two for each process: links may be laid at the same time, or one be left by who was killed.
  const network = 4 * (process.pid % 16384);
  const address = (end: number) => `10.213.${network >> 8}.${(network & 255) + end}`;
  const [nearHost, farHost] = [address(1), address(2)];
  const [near, far] = [`um${process.pid}a`, `um${process.pid}b`];
  const inside = ['ip', 'netns', 'exec', space];
  const held = (device: string) => [
    'tc',
    'qdisc',
    'add',
    'dev',
    device,
    'root',
    'tbf',
    'rate',
    rate,
    'burst',
    '64kb',
    'latency',
    '100ms',
  ];
  const steps = [
    ['ip', 'netns', 'add', space],
    ['ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', space],
    ['ip', 'addr', 'add', `${nearHost}/30`, 'dev', near],
    ['ip', 'link', 'set', near, 'up'],
    [...inside, 'ip', 'addr', 'add', `${farHost}/30`, 'dev', far],
    [...inside, 'ip', 'link', 'set', far, 'up'],
    held(near),
    [...inside, ...held(far)],
  ];
  const drop = (): void => void run('ip', 'netns', 'del', space); // the devices go with it
  for (const [command, ...args] of steps) {
    const why = run(command!, ...args);
    if (why === null) continue;
    drop();
    return { why };
  }
  return {
    host: nearHost,
    beyond: ({ command, args }) => ({ command: 'ip', args: [...inside.slice(1), command, ...args] }),
    drop,
  };
}

/** Null, or the last line of what went wrong. */
function run(command: string, ...args: string[]): string | null {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return null;
  return error?.message ?? (stderr.trim().split('\n').at(-1) || `${command} ended with ${status}`);
}
