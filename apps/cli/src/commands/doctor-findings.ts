import { type Backend, type BackendProbe, chooseBackend } from '@ultramem/backends';
import type { OperatingError } from '@ultramem/invariant';
import { formatBytes } from '@ultramem/planner';

/** One thing that was looked at. `mend` is null where nothing needs mending. */
export interface Finding {
  what: string;
  state: 'ok' | 'warn' | 'fail';
  text: string;
  mend: string | null;
}

const GIB = 2 ** 30;
/** Below this a model, logs and a build do not fit. */
const DISK_BYTES_WANTED = GIB;
/** A Node process with its buffers, before any slice. */
const MEMORY_BYTES_WANTED = GIB / 4;

/** @param engines a range of the form `>=20.19`, the only form that our package.json files use */
export function nodeFinding(version: string, engines: string): Finding {
  const isOk = compareVersions(version, engines.replace(/^>=/, '')) >= 0;
  return finding(
    'node',
    isOk ? 'ok' : 'fail',
    `version ${version}, needed ${engines}`,
    'install a newer Node.js, for example: nvm install 22',
  );
}

/** @param version null where there is no npm */
export function npmFinding(version: string | null): Finding {
  if (version === null)
    return finding(
      'npm',
      'warn',
      'not found, needed only to install and to build',
      'install Node.js with npm: https://nodejs.org',
    );
  return finding('npm', 'ok', `version ${version}`);
}

export function cpuFinding(model: string, coreCount: number): Finding {
  const text = `${coreCount} ${coreCount === 1 ? 'core' : 'cores'} of ${model || 'a CPU without a name'}`;
  return finding(
    'cpu',
    coreCount > 1 ? 'ok' : 'warn',
    coreCount > 1 ? text : `${text}: coordinator and workers take turns`,
    'use a machine with more cores, or one worker: ultramem up --workers 1',
  );
}

/** @param limitBytes what this process may use, null where nothing but the machine limits it */
export function memoryFinding({
  totalBytes,
  freeBytes,
  limitBytes,
}: {
  totalBytes: number;
  freeBytes: number;
  limitBytes: number | null;
}): Finding {
  const limit = limitBytes === null ? '' : `, of which a container allows ${formatBytes(limitBytes)}`;
  const text = `${formatBytes(totalBytes)}, ${formatBytes(freeBytes)} free${limit}`;
  return finding(
    'memory',
    Math.min(freeBytes, limitBytes ?? freeBytes) < MEMORY_BYTES_WANTED ? 'warn' : 'ok',
    text,
    'end other programs, let the container have more, or put workers on other machines',
  );
}

/** @param error why listening, dialling or echoing failed, null when all went well */
export function loopbackFinding(error: OperatingError | null): Finding {
  if (error === null) return finding('loopback', 'ok', 'a WebSocket on 127.0.0.1 carries messages both ways');
  return finding(
    'loopback',
    'fail',
    `${error.code}: ${part(error, 0)}`,
    'allow local connections: check firewall, sandbox and proxy settings',
  );
}

/** @param error why the port cannot be listened on, null when it can */
export function portFinding(port: number, error: OperatingError | null): Finding {
  if (error === null) return finding('port', 'ok', `${port} is free for a coordinator`);
  return finding(
    'port',
    'warn',
    error.code === 'PORT_IN_USE'
      ? `${port} is taken, perhaps by a coordinator`
      : `${error.code}: ${part(error, 0)}`,
    'ask who it is: ultramem status; or take another: ultramem coordinator --port 0',
  );
}

export function diskFinding(path: string, freeBytes: number): Finding {
  return finding(
    'disk',
    freeBytes < DISK_BYTES_WANTED ? 'warn' : 'ok',
    `${formatBytes(freeBytes)} free at ${path}`,
    'free some space, or put models on another disk',
  );
}

/** One finding per backend, then what `--backend auto` takes. Only native code is missed where it is missing. */
export function backendFindings(probes: readonly BackendProbe[]): Finding[] {
  const chosen = chooseBackend(probes);
  return [
    ...probes.map((probe): Finding => {
      const what = probe.backend;
      if (probe.available) return { what, state: 'ok', text: probe.detail, mend: null };
      const state = what === 'native' ? 'warn' : 'ok';
      return { what, state, text: `not there: ${probe.why}`, mend: probe.remedy };
    }),
    finding('backend', 'ok', `--backend auto takes ${chosen}: ${REASONS[chosen]}`),
  ];
}

const REASONS: Record<Backend, string> = {
  tensorflow: 'there is a GPU that TensorFlow can use',
  native: 'native code is the fastest here',
  webgpu: 'there is nothing faster',
  reference: 'native code is not there',
};

/** A model that opened: does what its tables and dense weights take fit into memory? */
export function modelFinding({
  path,
  family,
  slots,
  neededBytes,
  totalBytes,
}: {
  path: string;
  family: string;
  slots: number;
  neededBytes: number;
  totalBytes: number;
}): Finding {
  const text = `${path} opens: ${family}, ${slots} slots, ${formatBytes(neededBytes)} in memory over all processes`;
  const fits = neededBytes <= totalBytes;
  return finding(
    'model',
    fits ? 'ok' : 'warn',
    fits ? text : `${text}, more than this machine has`,
    `put workers on several machines: ultramem plan --model ${path} --workers 4`,
  );
}

export function brokenModelFinding(error: OperatingError): Finding {
  return finding('model', 'fail', `${error.code}: ${part(error, 0)}; ${part(error, 1)}`, part(error, 2));
}

/** The findings for people: one line each, and what to do under those that are not ok. */
export function doctorText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ what }) => what.length));
  const lines = findings.flatMap(({ what, state, text, mend }) => [
    `${state.padEnd(4)}  ${what.padEnd(width)}  ${text}`,
    ...(mend === null ? [] : [`${' '.repeat(width + 8)}to ${state === 'ok' ? 'add' : 'mend'} it: ${mend}`]),
  ]);
  const count = (wanted: Finding['state']): number => findings.filter(({ state }) => state === wanted).length;
  return [...lines, '', `${count('ok')} ok, ${count('warn')} to look at, ${count('fail')} failed`].join('\n');
}

/** Part of an error's message: what was wrong, what was expected, what to do. */
function part(error: OperatingError, index: number): string {
  return error.message.split('; ')[index] ?? error.message;
}

function finding(what: string, state: Finding['state'], text: string, mend: string | null = null): Finding {
  return { what, state, text, mend: state === 'ok' ? null : mend };
}

/** Numbers between dots, missing ones count as 0. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) =>
    version
      .replace(/^v/, '')
      .split('.')
      .map((number) => Number.parseInt(number, 10)),
  );
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
