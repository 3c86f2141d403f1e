// What a stranger does: packs every public package, installs the tarballs in a folder outside of this repository, and runs tests
// there with plain Node. Prints PASS or FAIL for each step; exits 0 only when all passed.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packAll } from '../../deploy/npm/pack.mjs';
import { tarballFindings } from './tarball-findings.mjs';

const TOP = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'consumer-'));
let failed = 0;

/** Runs one step, which returns what is wrong with it, in lines. */
function step(name, run) {
  const startMs = performance.now();
  let findings;
  try {
    findings = run();
  } catch (error) {
    findings = [error.stack];
  }
  failed += findings.length > 0 ? 1 : 0;
  for (const finding of findings) console.log(`  ${finding}`);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  console.log(`${findings.length > 0 ? 'FAIL' : 'PASS'} ${name} (${seconds} s)`);
  return findings.length === 0;
}

function command(program, ...args) {
  // Without the settings of the npm that runs this: they would point it back into the repository.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(npm_(?!config_)|NODE_)/i.test(name)),
  );
  const { status, signal, stdout, stderr, error } = spawnSync(program, args, {
    cwd: folder,
    encoding: 'utf8',
    env,
  });
  if (status === 0) return [];
  const how = error?.message ?? signal ?? `status ${status}`;
  return [
    `${program} ${args.join(' ')} ended with ${how}`,
    ...`${stdout}${stderr}`.trimEnd().split('\n').slice(-60),
  ];
}

function install(packed) {
  cpSync(new URL('template', import.meta.url), folder, { recursive: true });
  const manifestPath = join(folder, 'package.json');
  const manifest = JSON.parse(readFileSync(manifestPath, 'utf8'));
  // Every package by its tarball, so that none of ours can come from a registry.
  for (const { manifest: own, tarball } of packed) manifest.dependencies[own.name] = `file:${tarball}`;
  writeFileSync(manifestPath, JSON.stringify(manifest, null, 2));
  return command('npm', 'install', '--no-audit', '--no-fund', '--prefer-offline');
}

let packed = [];
const ready =
  step('pack', () => {
    packed = packAll(join(folder, 'tarballs'));
    return [];
  }) && step('install the tarballs', () => install(packed));
step('what is in the tarballs', () =>
  packed.length === 0 ? ['there are none'] : packed.flatMap(tarballFindings),
);
if (ready) {
  step('tests with a cluster', () => command(process.execPath, '--test', 'cluster.test.js'));
  step('tests of the command line', () => command(process.execPath, '--test', 'command-line.test.js'));
  step('type-check', () => {
    cpSync(join(TOP, 'node_modules/@types/node'), join(folder, 'node_modules/@types/node'), {
      recursive: true,
    });
    cpSync(join(TOP, 'node_modules/undici-types'), join(folder, 'node_modules/undici-types'), {
      recursive: true,
    });
    return command(process.execPath, join(TOP, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json');
  });
}
rmSync(folder, { recursive: true });
process.exitCode = failed > 0 ? 1 : 0;
