// Builds and runs the drivers of this folder under sanitizers: all of them, or those that are named. A driver tests native/core and
// native/simd without Node. Those whose name ends in -race run under ThreadSanitizer, the others under AddressSanitizer and
// UndefinedBehaviorSanitizer, once per instruction set of this machine.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findCompiler, PLAIN_FOLDERS, run, translationUnits, withIncludes } from '../build.mjs';
import { buildRoot, compileSanitized, fail, MEMORY, NO_COMPILER, RACE } from './sanitized.mjs';

const testRoot = fileURLToPath(new URL('.', import.meta.url));

const compiler = findCompiler();
if (compiler === null) fail(NO_COMPILER);
const known = readdirSync(testRoot)
  .filter((name) => name.endsWith('.cc'))
  .map((name) => name.slice(0, -3));
const wanted = process.argv.length > 2 ? process.argv.slice(2) : known;
for (const name of wanted) {
  if (!known.includes(name))
    fail(`there is no driver ${name}; expected one of ${known.join(', ')}; correct it`);
  await buildAndRun(name);
}

async function buildAndRun(name) {
  const isRace = name.endsWith('-race');
  const sanitizers = isRace ? RACE : MEMORY;
  const units = [
    ...neededUnits(join(testRoot, `${name}.cc`)),
    // What checks is not what is checked.
    { source: join(testRoot, `${name}.cc`), flags: ['-O2', '-fno-sanitize=all'], name: `test-${name}` },
  ];
  const { objects, failure } = await compileSanitized(compiler, units, sanitizers);
  if (failure !== null) fail(`${name} does not compile: ${failure}`);
  const program = join(buildRoot, name);
  mkdirSync(buildRoot, { recursive: true });
  const linked = await run(compiler.command, [...sanitizers, '-pthread', ...objects, '-o', program]);
  if (linked.status !== 0) fail(`${name} does not link: ${linked.stderr.slice(0, 2000)}`);
  for (const isa of isRace ? [''] : isasOf(program)) {
    const startMs = performance.now();
    const { status, stdout, stderr, signal } = spawnSync(program, [], {
      encoding: 'utf8',
      env: { ...process.env, ULTRAMEM_ISA: isa },
    });
    if (status !== 0)
      fail(`${name} ${isa} ended with ${status ?? signal}\n${stdout}${stderr.slice(0, 8000)}`);
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    console.log(`${name} ${isa}: ${stdout.trim()} in ${seconds} s`);
  }
}

/** Units whose headers the driver or another needed unit includes: a.cc belongs to a.h. */
function neededUnits(driver) {
  const needed = withIncludes(driver, new Set());
  const units = translationUnits(PLAIN_FOLDERS);
  for (let before = 0; needed.size > before; ) {
    before = needed.size;
    for (const { source } of units) if (needed.has(source.replace(/cc$/, 'h'))) withIncludes(source, needed);
  }
  return units.filter(({ source }) => needed.has(source));
}

/** Instruction sets that the machine can run, as a driver prints them. */
function isasOf(program) {
  const { stdout } = spawnSync(program, ['--isas'], { encoding: 'utf8' });
  return stdout.trim().split(' ');
}
