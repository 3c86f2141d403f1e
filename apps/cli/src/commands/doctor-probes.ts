import { execFile } from 'node:child_process';
import { readFile, statfs } from 'node:fs/promises';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { promisify } from 'node:util';
import { probeBackends } from '@ultramem/backends';
import { openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { planTerms } from '@ultramem/coordinator';
import { memoryLimitBytes, systemClock } from '@ultramem/environment-system';
import { OperatingError } from '@ultramem/invariant';
import { coordinatorBytes, sliceBytes } from '@ultramem/planner';
import { createWsTransport } from '@ultramem/transport-ws';
import { openTokenizer } from '../open-model.ts';
import {
  backendFindings,
  brokenModelFinding,
  cpuFinding,
  diskFinding,
  type Finding,
  loopbackFinding,
  memoryFinding,
  modelFinding,
  nodeFinding,
  npmFinding,
  portFinding,
} from './doctor-findings.ts';

const TIMEOUT_MS = 5_000;

/** Looks at this machine, and at a model where one is named. Changes nothing. */
export async function probeMachine({
  modelPath,
  port,
}: {
  modelPath: string | null;
  port: number;
}): Promise<Finding[]> {
  const { engines } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
    engines: { node: string };
  };
  const disk = await statfs(process.cwd());
  return [
    nodeFinding(process.version, engines.node),
    npmFinding(await npmVersion()),
    cpuFinding(cpus()[0]?.model.trim() ?? '', availableParallelism()),
    memoryFinding({ totalBytes: totalmem(), freeBytes: freemem(), limitBytes: containerBytes() }),
    diskFinding(process.cwd(), disk.bavail * disk.bsize),
    loopbackFinding(await failureOf(probeLoopback)),
    portFinding(port, await failureOf(() => probePort(port))),
    ...backendFindings(await probeBackends()),
    ...(modelPath === null ? [] : [await probeModel(modelPath)]),
  ];
}

async function npmVersion(): Promise<string | null> {
  // Where there is no npm, or one that fails, the answer is the same: it cannot be used.
  return promisify(execFile)('npm', ['--version'], {
    timeout: TIMEOUT_MS,
    shell: process.platform === 'win32',
  }).then(
    ({ stdout }) => stdout.trim(),
    () => null,
  );
}

/** Memory of the container that this runs in, or null. */
function containerBytes(): number | null {
  return memoryLimitBytes() < totalmem() ? memoryLimitBytes() : null;
}

async function failureOf(probe: () => Promise<void>): Promise<OperatingError | null> {
  try {
    await probe();
    return null;
  } catch (error) {
    if (error instanceof OperatingError) return error;
    throw error;
  }
}

async function probePort(port: number): Promise<void> {
  const listener = await createWsTransport().listen({ host: '127.0.0.1', port, onConnection: () => {} });
  await listener.close();
}

/** A listener on a free port sends back what a dialled connection sends. */
async function probeLoopback(): Promise<void> {
  const transport = createWsTransport();
  const listener = await transport.listen({
    host: '127.0.0.1',
    port: 0,
    onConnection: (connection) => {
      connection.onMessage = (message) => connection.send([message]);
    },
  });
  try {
    const connection = await transport.connect(listener.url, { timeoutMs: TIMEOUT_MS });
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void =>
        reject(
          new OperatingError(
            'CONNECTION_LOST',
            `an echo over ${listener.url} failed (${why}); expected the message back; check the firewall`,
          ),
        );
      const cancel = systemClock.after(TIMEOUT_MS, () => fail(`nothing within ${TIMEOUT_MS} ms`));
      connection.onClose = (reason) => {
        cancel();
        fail(reason);
      };
      connection.onMessage = () => {
        cancel();
        resolve();
      };
      connection.send([Uint8Array.of(1)]);
    });
  } finally {
    await listener.close();
  }
}

async function probeModel(path: string): Promise<Finding> {
  const directory = fileDirectory(path);
  try {
    const checkpoint = await openCheckpoint(directory, { parts: 'all' });
    try {
      await openTokenizer(directory, checkpoint.config.vocabSize);
      const { config, geometry } = checkpoint;
      if (geometry === null)
        return modelFinding({
          path,
          family: config.memFamily,
          slots: 0,
          neededBytes: 0,
          totalBytes: totalmem(),
        });
      const { bytes } = planTerms(checkpoint, 'auto', 'auto');
      const whole = {
        shard: 0,
        rows: { start: 0, end: geometry.tableRows },
        columns: { start: 0, end: geometry.valueWidth },
        preColumns: { start: 0, end: geometry.preWidth },
        keys: null,
      };
      const neededBytes =
        sliceBytes(geometry, bytes, whole) + coordinatorBytes(geometry, bytes, 'coordinator');
      const slots = (geometry.sharedTable ? 1 : geometry.layerCount) * geometry.tableRows;
      return modelFinding({ path, family: geometry.family, slots, neededBytes, totalBytes: totalmem() });
    } finally {
      await checkpoint.close();
    }
  } catch (error) {
    if (error instanceof OperatingError) return brokenModelFinding(error);
    throw error;
  }
}
