import { stopOnDefect } from './run-program.ts';

/**
 * The other end of `startChild` (@ultramem/local-cluster): tells the process that started this one how things go, and ends this
 * process when that one is gone. Without such a process both do nothing.
 */
export function tellParent(message: object): void {
  if (process.connected) process.send?.(message);
}

export function endWithParent(): void {
  if (process.send === undefined) return;
  process.once('disconnect', () => process.exit(0));
  process.channel?.unref(); // to listen keeps a program alive that has given up and only waits to end
}

/** Calls `stop` at the first SIGINT or SIGTERM; the second one ends the process at once. */
export function onStopSignal(stop: (signal: NodeJS.Signals) => Promise<void>): void {
  let stopping = false;
  const handle = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(130);
    stopping = true;
    void stop(signal).then(() => process.exit(process.exitCode ?? 0), stopOnDefect);
  };
  process.on('SIGINT', handle).on('SIGTERM', handle);
}
