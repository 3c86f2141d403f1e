import type { BackendProbe } from '@ultramem/backends';
import { OperatingError } from '@ultramem/invariant';
import { expect, it } from 'vitest';
import {
  backendFindings,
  brokenModelFinding,
  cpuFinding,
  diskFinding,
  doctorText,
  type Finding,
  loopbackFinding,
  memoryFinding,
  modelFinding,
  nodeFinding,
  npmFinding,
  portFinding,
} from './doctor-findings.ts';

const GIB = 2 ** 30;
const taken = new OperatingError('PORT_IN_USE', '127.0.0.1:7420 is taken; expected a free port; stop it');
const denied = new OperatingError('LISTEN_FAILED', 'cannot listen (EACCES); expected a port; choose another');
const probes = (native: boolean): BackendProbe[] => [
  native
    ? { backend: 'native', available: true, detail: 'avx2', onGpu: false }
    : { backend: 'native', available: false, why: 'no compiler', remedy: 'apt-get install g++' },
  { backend: 'tensorflow', available: false, why: 'not set up', remedy: 'npm run setup:tensorflow' },
  { backend: 'webgpu', available: false, why: 'no adapter', remedy: 'install a driver' },
  { backend: 'reference', available: true, detail: 'plain', onGpu: false },
];
const model = { path: 'm', family: 'ultramem_v1', slots: 9, neededBytes: 2 * GIB };

it.each<[Finding, state: Finding['state'], text: string, mend: string | null]>([
  [nodeFinding('v20.19.0', '>=20.19'), 'ok', 'version v20.19.0, needed >=20.19', null],
  [nodeFinding('v22.1.0', '>=20.19'), 'ok', 'v22.1.0', null],
  [nodeFinding('v20.9.5', '>=20.19'), 'fail', 'v20.9.5', 'nvm install'],
  [nodeFinding('v18.20.1', '>=20.19'), 'fail', 'v18.20.1', 'nvm install'],
  [npmFinding('11.0.0'), 'ok', '11.0.0', null],
  [npmFinding(null), 'warn', 'not found', 'https://nodejs.org'],
  [cpuFinding('Abacus', 8), 'ok', '8 cores of Abacus', null],
  [
    cpuFinding('', 1),
    'warn',
    '1 core of a CPU without a name: coordinator and workers take turns',
    '--workers 1',
  ],
  [memoryFinding({ totalBytes: 8 * GIB, freeBytes: GIB, limitBytes: null }), 'ok', '8 GiB, 1 GiB free', null],
  [
    memoryFinding({ totalBytes: 8 * GIB, freeBytes: GIB / 8, limitBytes: null }),
    'warn',
    '128 MiB free',
    'end other programs',
  ],
  [
    memoryFinding({ totalBytes: 8 * GIB, freeBytes: GIB, limitBytes: GIB }),
    'ok',
    '1 GiB free, of which a container allows 1 GiB',
    null,
  ],
  [
    memoryFinding({ totalBytes: 8 * GIB, freeBytes: GIB, limitBytes: GIB / 8 }),
    'warn',
    'a container allows 128 MiB',
    'end other programs',
  ],
  [loopbackFinding(null), 'ok', 'both ways', null],
  [loopbackFinding(denied), 'fail', 'LISTEN_FAILED: cannot listen (EACCES)', 'firewall'],
  [portFinding(7420, null), 'ok', '7420 is free', null],
  [portFinding(7420, taken), 'warn', '7420 is taken', 'ultramem status'],
  [portFinding(7420, denied), 'warn', 'LISTEN_FAILED: cannot listen (EACCES)', '--port 0'],
  [diskFinding('/data', 2 * GIB), 'ok', '2 GiB free at /data', null],
  [diskFinding('/data', 5), 'warn', '5 B free', 'free some space'],
  [backendFindings(probes(true))[0], 'ok', 'avx2', null],
  [backendFindings(probes(true))[4], 'ok', '--backend auto takes native', null],
  [backendFindings(probes(false))[0], 'warn', 'not there: no compiler', 'apt-get install g++'],
  [backendFindings(probes(false))[1], 'ok', 'not there: not set up', 'npm run setup'],
  [backendFindings(probes(false))[4], 'ok', '--backend auto takes reference', null],
  [modelFinding({ ...model, totalBytes: 4 * GIB }), 'ok', 'm opens: ultramem_v1, 9 slots, 2 GiB', null],
  [
    modelFinding({ ...model, totalBytes: GIB }),
    'warn',
    'more than this machine has',
    'ultramem plan --model m',
  ],
  [
    brokenModelFinding(new OperatingError('CHECKPOINT_INVALID', 'bad; expected good; copy it')),
    'fail',
    'CHECKPOINT_INVALID: bad; expected good',
    'copy it',
  ],
])('%j', (finding, state, text, mend) => {
  expect(finding).toMatchObject({ state, text: expect.stringContaining(text) });
  expect(finding.mend).toEqual(mend === null ? null : expect.stringContaining(mend));
});

it('writes a line for each finding, what to do below, and the count', () => {
  expect(
    doctorText([npmFinding(null), loopbackFinding(null), nodeFinding('v1.0.0', '>=20.19')]).split('\n'),
  ).toEqual([
    'warn  npm       not found, needed only to install and to build',
    '                to mend it: install Node.js with npm: https://nodejs.org',
    'ok    loopback  a WebSocket on 127.0.0.1 carries messages both ways',
    'fail  node      version v1.0.0, needed >=20.19',
    '                to mend it: install a newer Node.js, for example: nvm install 22',
    '',
    '1 ok, 1 to look at, 1 failed',
  ]);
});
