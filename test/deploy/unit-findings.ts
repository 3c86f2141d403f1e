/** What a unit of ours must say, whatever the machine's systemd would accept. */
const required: Readonly<Record<string, string>> = {
  Restart: 'on-failure',
  KillSignal: 'SIGTERM',
  DynamicUser: 'yes',
  NoNewPrivileges: 'yes',
  ProtectSystem: 'strict',
  ProtectHome: 'yes',
  WantedBy: 'multi-user.target',
};
const requiredWithAnyValue = [
  'Description',
  'ExecStart',
  'RestartSec',
  'TimeoutStopSec',
  'LoadCredential',
  'EnvironmentFile',
];

const sections: Readonly<Record<string, readonly string[]>> = {
  Unit: ['Description', 'Documentation', 'Wants', 'After', 'StartLimitIntervalSec'],
  Service: [
    ...[
      'Type',
      'EnvironmentFile',
      'LoadCredential',
      'ExecStart',
      'Restart',
      'RestartPreventExitStatus',
      'RestartSec',
    ],
    ...[
      'RestartSteps',
      'RestartMaxDelaySec',
      'KillSignal',
      'KillMode',
      'TimeoutStopSec',
      'LimitNOFILE',
      'DynamicUser',
    ],
    ...[
      'UMask',
      'NoNewPrivileges',
      'CapabilityBoundingSet',
      'AmbientCapabilities',
      'LockPersonality',
      'PrivateDevices',
    ],
    ...[
      'PrivateTmp',
      'PrivateUsers',
      'ProtectClock',
      'ProtectControlGroups',
      'ProtectHome',
      'ProtectHostname',
    ],
    ...['ProtectKernelLogs', 'ProtectKernelModules', 'ProtectKernelTunables', 'ProtectProc', 'ProtectSystem'],
    ...['RestrictAddressFamilies', 'RestrictNamespaces', 'RestrictRealtime', 'RestrictSUIDSGID'],
    ...['SystemCallArchitectures', 'SystemCallErrorNumber', 'SystemCallFilter'],
  ],
  Install: ['WantedBy'],
};

/**
 * What is wrong with a systemd unit and its environment example; empty when nothing is. Works without systemd, whose
 * own `systemd-analyze verify` says more where it is installed.
 */
export function unitFindings(unit: string, environment: string): string[] {
  const findings: string[] = [];
  const values = new Map<string, string>();
  let section = '';
  for (const line of unit.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [, header] = /^\[(\w+)\]$/.exec(line) ?? [];
    const [, key = '', value = ''] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (header !== undefined) section = header;
    else if (!sections[section]?.includes(key)) findings.push(`[${section}] does not know the line: ${line}`);
    else values.set(key, value);
  }
  for (const [key, value] of Object.entries(required)) {
    if (values.get(key) !== value) findings.push(`${key} is ${values.get(key)}, not ${value}`);
  }
  for (const key of requiredWithAnyValue) if (!values.get(key)) findings.push(`${key} is not set`);
  return [...findings, ...environmentFindings(values.get('ExecStart') ?? '', environment)];
}

/** The command and the example must name the same variables; systemd would start with an empty word otherwise. */
function environmentFindings(command: string, environment: string): string[] {
  const used = [...command.matchAll(/\$\{(\w+)\}/g)].map(([, name = '']) => name);
  const given = [...environment.matchAll(/^(\w+)=.+$/gm)].map(([, name = '']) => name);
  return [
    ...used
      .filter((name) => name !== 'CREDENTIALS_DIRECTORY' && !given.includes(name))
      .map((name) => `${name} has no example`),
    ...given.filter((name) => !used.includes(name)).map((name) => `${name} is given and never used`),
  ];
}
