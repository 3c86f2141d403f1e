// How the drivers of this folder are compiled: all with the same flags, so that they share objects.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { compileUnits, ISA_FLAGS } from '../build.mjs';

export const buildRoot = fileURLToPath(new URL('../../build/test', import.meta.url));
export const objectRoot = fileURLToPath(new URL('../../build/test/objects', import.meta.url));
export const MEMORY = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
export const RACE = ['-fsanitize=thread'];
export const NO_COMPILER =
  'there is no C++ compiler; expected one of CXX or the PATH; install g++ or clang++';

const addonPath = fileURLToPath(new URL('../../build/ultramem.node', import.meta.url));

// Minutes of compiling, beside tests that wait for other processes.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

/** Compiles what this machine can run with the sanitizers, and the rest, which is only linked, without them: that is much quicker. */
export async function compileSanitized(compiler, units, sanitizers) {
  const flags = ['-Og', '-g1', '-fPIC', '-I.'];
  const missing = unavailable();
  const idle = units.filter(({ name }) => missing.some((isa) => name.endsWith(`.${isa}`)));
  const watched = units.filter((unit) => !idle.includes(unit));
  const first = await compileUnits(compiler, watched, [...flags, ...sanitizers], objectRoot);
  const second = await compileUnits(compiler, idle, flags, objectRoot);
  return { objects: [...first.objects, ...second.objects], failure: first.failure ?? second.failure };
}

/** Instruction sets that the built addon knows to be missing; none where it is not built. */
function unavailable() {
  if (!existsSync(addonPath)) return [];
  const available = createRequire(import.meta.url)(addonPath).isas.split(' ');
  return Object.keys(ISA_FLAGS)
    .concat('amx')
    .filter((isa) => !available.includes(isa));
}

export function fail(message) {
  console.error(message);
  process.exit(1);
}
