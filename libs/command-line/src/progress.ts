import { SingleBar } from 'cli-progress';

/** Progress of something long: a bar on a terminal, nothing in a pipe. Always on stderr, where results do not go. */
export interface Progress {
  update(done: number): void;
  stop(): void;
}

export function startProgress(
  label: string,
  total: number,
  format: (value: number) => string = String,
): Progress {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const bar = new SingleBar({
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
    format: `${label} {bar} {percentage}% {shown}`,
    barsize: 30,
  });
  bar.start(total, 0, { shown: '' });
  return {
    update: (done) => bar.update(Math.min(done, total), { shown: `${format(done)} of ${format(total)}` }),
    stop: () => bar.stop(),
  };
}
