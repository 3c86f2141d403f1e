import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { cliFlags, listedFlags } from './cli-flags.ts';
import { commandFindings, commandLines } from './command-lines.ts';
import { composeFindings } from './compose-findings.ts';
import { dockerfileFindings } from './dockerfile-findings.ts';
import { repositoryPath } from './repository-path.ts';
import { unitFindings } from './unit-findings.ts';

const read = (path: string) => readFileSync(repositoryPath(path), 'utf8');

describe('command lines in deploy', () => {
  const files = readdirSync(repositoryPath('deploy'), { recursive: true, encoding: 'utf8' });
  const lines = files
    .map((file) => `deploy/${file}`)
    .filter((file) => /\.(service|yaml|md)$/.test(file))
    .flatMap((file) => commandLines(file, read(file)));

  it('are found in every kind of file', () => {
    const found = (end: string, verb: string) =>
      lines.filter((line) => line.file.endsWith(end) && line.verb === verb);
    expect(found('.service', 'coordinator')).toHaveLength(1);
    expect(found('.service', 'worker')).toHaveLength(1);
    expect(found('.yaml', 'coordinator')).toHaveLength(1);
    expect(found('.yaml', 'worker')).toHaveLength(4);
    expect(found('.yaml', 'status')).toHaveLength(1);
    expect(found('.md', 'status').length).toBeGreaterThan(0);
  });

  it.each([...new Set(lines.map(({ verb }) => verb))])('`ultramem %s` has every flag they use', (verb) => {
    const flags = cliFlags(verb);
    expect(
      commandFindings(
        lines.filter((line) => line.verb === verb),
        () => flags,
      ),
    ).toEqual([]);
  });

  it('would be reported with an unknown flag', () => {
    const markdown =
      'Run `ultramem plan --nonsense`:\n```sh\nsudo x/ultramem plan --model m \\\n  --typo=3 # --no\n```\n';
    const findings = commandFindings(commandLines('a.md', markdown), () =>
      listedFlags('Options:\n  -m, --model DIR  --x\n'),
    );
    expect(findings).toEqual([
      'a.md: `ultramem plan` has no --typo',
      'a.md: `ultramem plan` has no --nonsense',
    ]);
  });

  it('would be reported with an unknown verb', () => {
    expect(() => cliFlags('nonsense')).toThrow("unknown command 'nonsense'");
  });
});

describe.each([
  ['ultramem-coordinator.service', 'coordinator.env.example'],
  ['ultramem-worker@.service', 'worker.env.example'],
])('%s', (unit, environment) => {
  const text = read(`deploy/systemd/${unit}`);

  it('says what it must, and only what is known', () => {
    expect(unitFindings(text, read(`deploy/systemd/${environment}`))).toEqual([]);
  });

  it('would be reported with a misspelt directive, a missing one and a variable without example', () => {
    const broken = text
      .replace('NoNewPrivileges=', 'NoNewPriviledges=')
      .replace('{ULTRAMEM_MODEL}', '{MODEL}');
    expect(unitFindings(broken, read(`deploy/systemd/${environment}`))).toEqual([
      '[Service] does not know the line: NoNewPriviledges=yes',
      'NoNewPrivileges is undefined, not yes',
      'MODEL has no example',
      'ULTRAMEM_MODEL is given and never used',
    ]);
  });

  const version = Number(
    /^systemd (\d+)/.exec(
      spawnSync('systemd-analyze', ['--version'], { encoding: 'utf8' }).stdout ?? '',
    )?.[1],
  );
  it.skipIf(Number.isNaN(version))(
    'passes systemd-analyze verify and security, where it is installed',
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'unit-'));
      try {
        const file = join(folder, unit);
        // The program must exist for `verify`; on this machine it is not below /opt.
        writeFileSync(file, text.replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`));
        const verify = spawnSync('systemd-analyze', ['verify', file.replace('@.', '@1.'), file], {
          encoding: 'utf8',
        });
        const newer = version < 254 ? /Unknown key( name)? '(RestartSteps|RestartMaxDelaySec)'/ : /^$/;
        expect(verify.stderr.split('\n').filter((line) => line.includes(unit) && !newer.test(line))).toEqual(
          [],
        );
        expect(verify.status).toBe(0);
        const security = spawnSync(
          'systemd-analyze',
          ['security', '--offline=true', '--threshold=20', file],
          { encoding: 'utf8' },
        );
        expect(security.status, security.stdout + security.stderr).toBe(0);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
});

describe('Dockerfile', () => {
  const dockerfile = read('deploy/docker/Dockerfile');
  const ignored = read('deploy/docker/Dockerfile.dockerignore');
  const exists = (path: string) => existsSync(repositoryPath(path));

  it('builds from what the repository has, as a user that is not root, without secrets', () => {
    expect(dockerfileFindings(dockerfile, ignored, exists)).toEqual([]);
  });

  it('runs scripts that package.json has, and a bin of that name', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    for (const [, script = ''] of dockerfile.matchAll(/npm run (\w+)/g))
      expect(scripts).toHaveProperty(script);
    expect(JSON.parse(read('apps/cli/package.json'))).toHaveProperty('bin.ultramem');
  });

  it.each([
    ['node:20.20-slim', 'node:latest', 'base image without a fixed tag: "node:latest"'],
    ['node:20.20-slim', 'node', 'base image without a fixed tag: "node"'],
    ['COPY apps apps', 'COPY absent apps', 'COPY of absent, which does not exist'],
    ['COPY apps apps', 'COPY test test', 'COPY of test, which .dockerignore keeps out'],
    ['--from=build', '--from=built', 'COPY from "built", which is no earlier stage'],
    ['USER 1000:1000', 'USER root', 'the last stage does not switch to a numbered user other than root'],
    ['STOPSIGNAL SIGTERM', 'RUN true', 'USER stands before the last RUN or COPY'],
    ['ENTRYPOINT ["ultramem"]', 'ENTRYPOINT ultramem', 'ENTRYPOINT is ultramem, not ["ultramem"]'],
    ['STOPSIGNAL', 'STOPSIGNL', 'unknown instruction STOPSIGNL'],
    ['ENV NODE_ENV=production', 'ENV NODE_ENV=production API_TOKEN=x', 'a secret would stay in the image'],
    [
      'npm run build && npm prune --omit=dev',
      'npm prune --omit=dev && npm run build',
      'not in the order npm ci',
    ],
    ['npm prune --omit=dev', 'true', 'no RUN has npm prune --omit=dev'],
    ['ARG NODE_IMAGE', 'USER root\nARG NODE_IMAGE', 'USER before the first FROM'],
  ])('would be reported when %s became %s', (before, after, finding) => {
    const broken = dockerfile.replace(before, after);
    expect(broken).not.toBe(dockerfile);
    expect(dockerfileFindings(broken, ignored, exists).join('\n')).toContain(finding);
  });

  it('would be reported when .dockerignore let everything in', () => {
    expect(dockerfileFindings(dockerfile, ignored.replace(/^\*$/m, ''), exists)).toEqual([
      '.dockerignore lets everything in',
    ]);
  });
});

describe('compose.yaml', () => {
  const compose = read('deploy/compose/compose.yaml');

  it('fits the compose schema and keeps its promises', () => {
    expect(composeFindings(compose)).toEqual([]);
  });

  it('waits for as many workers as it starts, each with its own id', () => {
    const { services } = parse(compose, { merge: true }) as {
      services: Record<string, { command: string[] }>;
    };
    const workers = Object.values(services).filter(({ command }) => command[0] === 'worker');
    const valueAfter = (command: string[] | undefined, flag: string) => command?.[command.indexOf(flag) + 1];
    expect(valueAfter(services.coordinator?.command, '--workers')).toBe(String(workers.length));
    expect(new Set(workers.map(({ command }) => valueAfter(command, '--id'))).size).toBe(workers.length);
  });

  it('builds the Dockerfile from the top of the repository', () => {
    expect(parse(compose)).toHaveProperty('services.coordinator.build', {
      context: '../..',
      dockerfile: 'deploy/docker/Dockerfile',
    });
    expect(existsSync(repositoryPath('deploy/docker/Dockerfile'))).toBe(true);
  });

  it.each([
    ['restart: on-failure', 'restrat: on-failure', 'additional'],
    ['--token-file, /run/secrets/ultramem-token, --memory', '--memory', '--token-file is no secret'],
    ['file: $', 'external: true # $', 'comes from no file'],
    ['read_only: true\n      bind', 'read_only: false\n      bind', '--model is no read-only volume'],
    ['read_only: true\n  tmpfs', 'read_only: false\n  tmpfs', 'the root file system can be written'],
    ['cap_drop: [ALL]', 'cap_drop: [NET_RAW]', 'keeps capabilities'],
    ['127.0.0.1:7420:7420', '7420:7420', 'published beyond this machine'],
    [
      'condition: service_started',
      'condition: service_healthy',
      'waits until coordinator is service_healthy',
    ],
    [
      'depends_on:\n    coordinator:',
      'depends_on:\n    registry:',
      'depends on registry, which is no service',
    ],
  ])('would be reported when %s became %s', (before, after, finding) => {
    const broken = compose.replace(before, after);
    expect(broken).not.toBe(compose);
    expect(composeFindings(broken).join('\n')).toContain(finding);
  });
});
