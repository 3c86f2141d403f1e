const known = new Set([
  'ARG',
  'FROM',
  'WORKDIR',
  'COPY',
  'RUN',
  'LABEL',
  'ENV',
  'USER',
  'EXPOSE',
  'STOPSIGNAL',
  'ENTRYPOINT',
  'CMD',
]);

interface Instruction {
  name: string;
  value: string;
}

/** What is wrong with a Dockerfile; empty when nothing is. `ignored` is its .dockerignore, `exists` asks the build context. */
export function dockerfileFindings(
  dockerfile: string,
  ignored: string,
  exists: (path: string) => boolean,
): string[] {
  const instructions = readInstructions(dockerfile);
  const lastStage = instructions.slice(instructions.findLastIndex(({ name }) => name === 'FROM'));
  return [
    ...instructions.filter(({ name }) => !known.has(name)).map(({ name }) => `unknown instruction ${name}`),
    ...baseFindings(instructions),
    ...copyFindings(instructions, ignored, exists),
    ...instructions
      .filter(
        ({ name, value }) => /^(ARG|ENV)$/.test(name) && /token|secret|password|credential/i.test(value),
      )
      .map(({ name, value }) => `a secret would stay in the image: ${name} ${value}`),
    ...userFindings(lastStage),
    ...orderFindings(instructions.filter(({ name }) => name === 'RUN').map(({ value }) => value)),
  ];
}

function readInstructions(dockerfile: string): Instruction[] {
  const lines = dockerfile.split('\n').filter((line) => !line.startsWith('#'));
  const joined = lines.join('\n').replaceAll(/\\\n\s*/g, '');
  return joined.split('\n').flatMap((line) => {
    const [, name = '', value = ''] = /^(\S+)\s*(.*)$/.exec(line) ?? [];
    return name === '' ? [] : [{ name, value }];
  });
}

/** Every stage starts from a tagged image, given directly or by an ARG before the first FROM. */
function baseFindings(instructions: readonly Instruction[]): string[] {
  const first = instructions.findIndex(({ name }) => name === 'FROM');
  if (first === -1) return ['no FROM'];
  const before = instructions.slice(0, first);
  const early = before
    .filter(({ name }) => name !== 'ARG')
    .map(({ name }) => `${name} before the first FROM`);
  const defaults = new Map(
    before.map(({ value }) => [value.replace(/=.*/, ''), value.replace(/^[^=]*=?/, '')]),
  );
  const stages = instructions
    .filter(({ name }) => name === 'FROM')
    .map(({ value }) => value.split(/\s+/)[0] ?? '');
  const images = stages.map((image) =>
    image.replace(/^\$\{(\w+)\}$/, (_, name: string) => defaults.get(name) ?? ''),
  );
  return [
    ...early,
    ...images
      .filter((image) => !/^[\w./-]+:[\w.-]+$/.test(image) || image.endsWith(':latest'))
      .map((image) => `base image without a fixed tag: "${image}"`),
  ];
}

function copyFindings(
  instructions: readonly Instruction[],
  ignored: string,
  exists: (path: string) => boolean,
): string[] {
  const letIn = ignored.split('\n').flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : []));
  const stages: string[] = [];
  const findings = ignored.split('\n').includes('*') ? [] : ['.dockerignore lets everything in'];
  for (const { name, value } of instructions) {
    const [, stage] = / AS (\w+)$/.exec(value) ?? [];
    if (name === 'FROM' && stage !== undefined) stages.push(stage);
    if (name !== 'COPY') continue;
    const [, from] = /^--from=(\w+) /.exec(value) ?? [];
    if (from !== undefined) {
      if (!stages.slice(0, -1).includes(from))
        findings.push(`COPY from "${from}", which is no earlier stage`);
      continue;
    }
    for (const source of value.split(/\s+/).slice(0, -1)) {
      if (!exists(source)) findings.push(`COPY of ${source}, which does not exist`);
      if (!letIn.includes(source)) findings.push(`COPY of ${source}, which .dockerignore keeps out`);
    }
  }
  return findings;
}

/** The process runs as a numbered user that is not root, and nothing is written as root after the switch. */
function userFindings(lastStage: readonly Instruction[]): string[] {
  const user = lastStage.findLastIndex(({ name }) => name === 'USER');
  const last = lastStage.findLastIndex(({ name }) => name === 'RUN' || name === 'COPY');
  const entry = lastStage.find(({ name }) => name === 'ENTRYPOINT')?.value;
  return [
    ...(/^[1-9]\d*:[1-9]\d*$/.test(lastStage[user]?.value ?? '')
      ? []
      : ['the last stage does not switch to a numbered user other than root']),
    ...(user > last ? [] : ['USER stands before the last RUN or COPY']),
    ...(entry === '["ultramem"]' ? [] : [`ENTRYPOINT is ${entry}, not ["ultramem"]`]),
  ];
}

function orderFindings(runs: readonly string[]): string[] {
  const steps = ['npm ci', 'npm run build', 'npm prune --omit=dev'];
  const all = runs.join('\n');
  const places = steps.map((step) => all.indexOf(step));
  const missing = steps.filter((_, index) => places[index] === -1).map((step) => `no RUN has ${step}`);
  const ordered = places.every((place, index) => index === 0 || place > (places[index - 1] ?? 0));
  return missing.length > 0 || ordered ? missing : [`not in the order ${steps.join(', ')}`];
}
