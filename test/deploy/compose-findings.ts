import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DCLinter } from 'dclint';
import { parse, stringify } from 'yaml';

interface Compose {
  services: Record<string, Service>;
  secrets?: Record<string, { file?: string }>;
}

interface Service {
  command?: string[];
  secrets?: string[];
  ports?: string[];
  cap_drop?: string[];
  read_only?: boolean;
  volumes?: { target: string; read_only?: boolean }[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[] };
}

/** What is wrong with a compose file; empty when nothing is: the compose-spec schema, and what we promise beyond it. */
export function composeFindings(text: string): string[] {
  const compose = parse(text, { merge: true }) as Compose;
  return [
    ...schemaFindings(compose),
    ...Object.entries(compose.services).flatMap(([name, service]) => serviceFindings(compose, name, service)),
  ];
}

/** Runs on the file with its anchors merged: the schema does not look into `x-` extensions. */
function schemaFindings(compose: Compose): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'compose-'));
  try {
    const file = join(folder, 'compose.yaml');
    const merged = Object.entries(compose).filter(([key]) => !key.startsWith('x-'));
    writeFileSync(file, stringify(Object.fromEntries(merged), { aliasDuplicateObjects: false }));
    // `build` and `image` together is how compose names what it builds; the linter would have one or the other.
    const [result] = new DCLinter({
      rules: { 'no-build-and-image': 0 },
      quiet: true,
      debug: false,
      exclude: [],
    }).lintFiles([file], false);
    if (result === undefined) return ['the schema check read nothing'];
    // dclint's declarations import a package that it does not bring.
    const messages: { type: string; message: string }[] = result.messages;
    return messages.filter(({ type }) => type === 'error').map(({ message }) => message);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function serviceFindings(compose: Compose, name: string, service: Service): string[] {
  const findings: string[] = [];
  const command = service.command ?? [];
  const tokenFile = command[command.indexOf('--token-file') + 1] ?? '';
  const secret = service.secrets?.find((candidate) => tokenFile === `/run/secrets/${candidate}`);
  if (secret === undefined) findings.push(`${name}: --token-file is no secret of the service`);
  else if (compose.secrets?.[secret]?.file === undefined)
    findings.push(`${name}: the secret ${secret} comes from no file`);
  const model = service.volumes?.find(({ target }) => target === command[command.indexOf('--model') + 1]);
  if (model?.read_only !== true) findings.push(`${name}: --model is no read-only volume`);
  if (service.read_only !== true) findings.push(`${name}: the root file system can be written`);
  if (!service.cap_drop?.includes('ALL')) findings.push(`${name}: keeps capabilities`);
  for (const port of service.ports ?? []) {
    if (!port.startsWith('127.0.0.1:')) findings.push(`${name}: ${port} is published beyond this machine`);
  }
  for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
    if (compose.services[other] === undefined)
      findings.push(`${name}: depends on ${other}, which is no service`);
    // The coordinator is healthy only after its workers joined: waiting for that would wait for ever.
    if (condition !== 'service_started') findings.push(`${name}: waits until ${other} is ${condition}`);
  }
  return findings;
}
