import { once } from 'node:events';
import { OperatingError } from '@ultramem/invariant';
import type { LocalCluster } from '@ultramem/local-cluster';

const RESTART_DELAY_MS = 500;

/** Says what can be typed next, and keeps the cluster alive until Ctrl-C: a worker that ends is started again. */
export async function stayUp(
  cluster: LocalCluster,
  access: { coordinator: string; tokenFile?: string },
): Promise<void> {
  const flags = `--coordinator ${access.coordinator}${access.tokenFile === undefined ? '' : ` --token-file ${access.tokenFile}`}`;
  process.stdout.write(
    [
      '',
      'It stays up. In another terminal:',
      `  npx ultramem status ${flags}`,
      `  npx ultramem generate ${flags} --prompt "JULIET:" --max-tokens 120 --temperature 0.8`,
      `  npx ultramem lookup ${flags} --prompt "To be, or not to be"`,
      'Ctrl-C ends it.',
      '',
    ].join('\n'),
  );
  let stopping = false;
  cluster.workers.forEach((_, index) => void supervise(cluster, index, () => stopping));
  const interrupted = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]).then(() => null);
  const ended = await Promise.race([interrupted, cluster.coordinator.exited]);
  stopping = true;
  if (ended !== null)
    throw (
      ended.error ??
      new OperatingError(
        'PROCESS_ENDED',
        `the coordinator ended (${ended.signal ?? `exit code ${ended.code}`}); expected it to run until Ctrl-C; start again`,
      )
    );
}

async function supervise(cluster: LocalCluster, index: number, isStopping: () => boolean): Promise<void> {
  for (;;) {
    const { code, signal, error } = await cluster.workers[index].exited;
    if (isStopping()) return;
    process.stderr.write(
      `worker-${index} ended (${error?.message.split(';')[0] ?? signal ?? `exit code ${code}`}); it is started again\n`,
    );
    await new Promise((resolve) => setTimeout(resolve, RESTART_DELAY_MS));
    if (isStopping()) return;
    await cluster.restartWorker(index).then(
      () => process.stderr.write(`worker-${index} is back\n`),
      () => {}, // its end is seen above, and it is tried again
    );
  }
}
