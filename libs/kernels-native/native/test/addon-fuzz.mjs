// Every entry point of the addon with arguments that do not fit: shorter, longer, of another type, detached, numbers that are none,
// handles of other kinds and released ones. Each call is refused or does something within its arrays; AddressSanitizer watches.
// `node addon-fuzz.mjs` builds the addon with the sanitizer and calls itself with it.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findCompiler, PLAIN_FOLDERS, run, translationUnits } from '../build.mjs';
import { buildRoot, compileSanitized, fail, MEMORY, NO_COMPILER } from './sanitized.mjs';

const ROUNDS = 6000;
const addonPath = join(buildRoot, 'addon-fuzz.node');

if (process.argv[2] === '--sanitized') await fuzz(createRequire(import.meta.url)(addonPath));
else await buildAndRun();

async function buildAndRun() {
  const compiler = findCompiler();
  if (compiler === null) fail(NO_COMPILER);
  const headers = createRequire(import.meta.url)('node-api-headers').include_dir;
  const ofAddon = ({ source, name }) => ({ source, name, flags: ['-DNAPI_VERSION=8', `-I${headers}`] });
  const units = [...translationUnits(['addon']).map(ofAddon), ...translationUnits(PLAIN_FOLDERS)];
  const { objects, failure } = await compileSanitized(compiler, units, MEMORY);
  if (failure !== null) fail(`the addon does not compile: ${failure}`);
  const linked = await run(compiler.command, [...MEMORY, '-shared', '-pthread', ...objects, '-o', addonPath]);
  if (linked.status !== 0) fail(`the addon does not link: ${linked.stderr.slice(0, 2000)}`);
  // The sanitizer must be there before everything else; Node's own leaks are none of ours.
  const library = (name) =>
    spawnSync(compiler.command, [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim();
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    [fileURLToPath(import.meta.url), '--sanitized'],
    {
      encoding: 'utf8',
      env: {
        ...process.env,
        LD_PRELOAD: `${library('libasan.so')} ${library('libubsan.so')}`,
        ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1:handle_segv=1',
      },
    },
  );
  if (status !== 0)
    fail(`the addon ended with ${status ?? signal}\n${stdout.slice(-2000)}${stderr.slice(0, 8000)}`);
  console.log(stdout.trim());
}

async function fuzz(addon) {
  const random = createRandom(7);
  const engine = addon.createEngine(2);
  const calls = validCalls(addon, engine);
  const names = new Set(Object.keys(addon).filter((name) => typeof addon[name] === 'function'));
  for (const [name] of calls) names.delete(name);
  // These take a handle alone; what they have taken away is among the mutations.
  for (const name of [
    'createEngine',
    'drainEngine',
    'stopEngine',
    'releaseMatrix',
    'releaseKeys',
    'releaseValues',
  ])
    names.delete(name);
  if (names.size > 0)
    fail(`no calls are made of ${[...names].join(', ')}; expected each entry point; add them`);
  for (const [name, make] of calls) await addon[name](...make());
  let refused = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const [name, make] = calls[round % calls.length];
    const values = make();
    for (let i = 1 + random(2); i > 0; i--) mutate(values, random, addon);
    try {
      await addon[name](...values);
    } catch (error) {
      if (!(error instanceof Error)) fail(`${name} threw ${String(error)}`);
      refused++;
    }
  }
  await addon.drainEngine(engine);
  addon.stopEngine(engine);
  if (refused < ROUNDS / 3 || refused === ROUNDS) fail(`${refused} of ${ROUNDS} calls were refused`);
  console.log(`${ROUNDS} calls of ${calls.length} entry points, ${refused} refused`);
}

/** One call of each entry point that fits, with fresh arrays each time. */
function validCalls(addon, engine) {
  const f32 = (length) => new Float32Array(length).fill(0.5);
  const [rows, columns] = [9, 12];
  const matrix = addon.createMatrix(0, rows, columns, true);
  const outer = addon.createMatrix(1, 7, rows, false);
  const filled = () => new Uint8Array(f32(rows * columns).buffer);
  const [heads, keyCount, width, rank, tokens, k, cores] = [2, 20, 12, 2, 3, 4, 2];
  const keys = addon.createKeys(heads, keyCount, width, rank);
  const lists = heads * 2;
  addon.fillKeys(keys, 0, f32(lists * keyCount * rank * width));
  const query = () => [
    f32(tokens * 2 * width),
    tokens,
    1,
    new Uint32Array(heads),
    f32(heads * rank),
    f32(heads * rank),
    k,
  ];
  const winners = () => [
    f64(tokens * heads * k),
    f32(tokens * heads * k * cores),
    f32(tokens * heads * k),
    null,
  ];
  const f64 = (length) => new Float64Array(length);
  const shape = [0, 30, 16, 5, 25, 0, 16];
  const table = addon.createValues(...shape);
  addon.fillValues(table, 0, new Uint8Array(20 * 16 * 4));
  const entries = () => [Uint32Array.of(0, 2, 2, 5), Uint32Array.of(5, 24, 7, 7, 9)];
  return [
    ['createMatrix', () => [1, rows, columns, true]],
    ['fillMatrix', () => [engine, matrix, 0, filled()]],
    ['matrixBytes', () => [matrix]],
    ['matmul', () => [engine, matrix, f32(5 * columns), 5, f32(rows), f32(5 * rows)]],
    ['feedForward', () => [engine, matrix, f32(rows), 1, outer, f32(7), f32(5 * columns), 5, f32(5 * 7)]],
    ['normalise', () => [engine, f32(40), 10, true, 1e-5, f32(10), f32(10), f32(40)]],
    ['addInto', () => [engine, f32(40), f32(40)]],
    ['rotate', () => [engine, f32(3 * 2 * 18), 9, f32(5 * 9), f32(5 * 9), Uint32Array.of(0, 4, 2)]],
    [
      'attend',
      () => [
        engine,
        [f32(7 * 2 * 6), f32(7 * 2 * 6), f32(5 * 2 * 6), f32(3 * 2 * 6)],
        f32(3 * 4 * 6),
        Uint32Array.of(2, 7, 1, 3),
        ...[4, 2, 6, f32(4), f32(3 * 4 * 6)],
      ],
    ],
    ['createKeys', () => [heads, keyCount, width, rank]],
    ['fillKeys', () => [keys, 1, f32(3 * width)]],
    ['keysBytes', () => [keys]],
    [
      'scoreKeys',
      () => [
        engine,
        keys,
        ...query(),
        0,
        new Uint32Array(tokens * lists * k),
        f32(tokens * lists * k * rank),
      ],
    ],
    [
      'select',
      () => [
        ...[engine, keys, ...query(), f32(cores * heads * rank * rank), cores, ...winners()],
        ...[new Uint32Array(keyCount ** 2), keyCount ** 2, 100, 130, 40],
        ...[new Uint32Array(tokens * heads * k), new Uint8Array(tokens * heads * k)],
      ],
    ],
    [
      'selectGrid',
      () => [
        ...[
          engine,
          new Uint32Array(tokens * lists * k),
          f32(tokens * lists * k * rank),
          tokens,
          heads,
          k,
          keyCount,
          rank,
        ],
        ...[f32(cores * heads * rank * rank), cores, ...winners()],
      ],
    ],
    [
      'addressValues',
      () => [
        ...[engine, Float64Array.of(3, 0, 23), Uint32Array.from({ length: 24 }, (_, i) => 23 - i)],
        ...[24, 6, 10, 7, new Uint32Array(3), new Uint8Array(3)],
      ],
    ],
    ['createValues', () => [...shape]],
    ['mapValues', () => [fileURLToPath(import.meta.url), 0, 2 ** 40, 0, 4, 16, 0, 4, 0, 16]],
    ['fillValues', () => [table, 2, new Uint8Array(3 * 16 * 4)]],
    ['valueBytes', () => [table]],
    [
      'poolValues',
      () => [
        engine,
        table,
        ...entries(),
        new Uint8Array(5),
        2,
        f32(10),
        2,
        null,
        null,
        false,
        f32(3 * 2 * 16),
      ],
    ],
    [
      'poolValues',
      () => [
        engine,
        table,
        ...entries(),
        new Uint8Array(5),
        1,
        f32(5),
        1,
        table,
        f32(3 * 16),
        true,
        f32(3 * 16),
      ],
    ],
    ['packVectors', () => [engine, f32(3 * 70), 70, 0, new Uint8Array(3 * 140)]],
    ['packVectors', () => [engine, f32(3 * 70), 70, 1, new Uint8Array(3 * 74)]],
    ['unpackVectors', () => [engine, new Uint8Array(3 * 140), 70, 0, f32(3 * 70)]],
    ['unpackVectors', () => [engine, new Uint8Array(3 * 74).fill(90), 70, 1, f32(3 * 70)]],
    ['dotValues', () => [engine, table, ...entries(), f32(3 * 16), f64(5)]],
    [
      'mergePartials',
      () => [
        engine,
        [
          ...[Uint32Array.of(0, 2), f32(2 * 2 * 12), Uint32Array.of(0, 1, 2), f32(3 * 2 * 12)],
          ...[Uint32Array.of(1), f32(2 * 4)],
        ],
        ...[Uint32Array.of(0, 12, 0, 12, 12, 16), 3, 2, 16, f32(3 * 2 * 16)],
      ],
    ],
  ];
}

/** Replaces one argument by something that it may not be, or just not fit. */
function mutate(values, random, addon) {
  const at = random(values.length);
  const value = values[at];
  if (value?.buffer?.byteLength === 0) return; // nothing is left of it to change
  if (ArrayBuffer.isView(value)) values[at] = mutatedArray(value, random);
  else if (Array.isArray(value) && random(6) > 0) mutateList(values, at, random, addon);
  else if (typeof value === 'number')
    values[at] = [
      value + 1,
      value - 1,
      0,
      -1,
      0.5,
      Number.NaN,
      2 ** 32,
      2 ** 53,
      Number.POSITIVE_INFINITY,
      null,
      'one',
    ][random(11)];
  else values[at] = [null, undefined, {}, 3, addon.createKeys(1, 1, 1, 1), releasedMatrix(addon)][random(6)];
}

/** An element that does not fit, one more or less, or one whose getter takes the other arrays away. */
function mutateList(values, at, random, addon) {
  const list = values[at];
  const where = random(list.length);
  switch (random(4)) {
    case 0:
      list.splice(where, 1);
      break;
    case 1:
      list.push(new Float32Array(3));
      break;
    case 2: {
      const element = list[where];
      Object.defineProperty(list, where, {
        configurable: true,
        set: () => {}, // another change of this list may come upon it
        get: () => {
          const arrays = [...values, ...list.slice(0, where)].filter(ArrayBuffer.isView);
          for (const { buffer } of arrays)
            if (buffer.byteLength > 0) structuredClone(buffer, { transfer: [buffer] });
          return element;
        },
      });
      break;
    }
    default:
      mutate(list, random, addon);
  }
}

function mutatedArray(array, random) {
  const Type = array.constructor;
  switch (random(6)) {
    case 0:
      return array.slice(0, random(array.length + 1));
    case 1:
      return new Type(array.length + 1 + random(3));
    case 2:
      return new Type(0);
    case 3: {
      structuredClone(array.buffer, { transfer: [array.buffer] }); // leaves nothing behind the array
      return array;
    }
    case 4:
      return new (Type === Float32Array ? Float64Array : Float32Array)(array.length);
    default: {
      const changed = array.slice();
      changed[random(Math.max(1, changed.length))] = [
        0xffffffff,
        Number.NaN,
        Number.POSITIVE_INFINITY,
        1e-42,
      ][random(4)];
      return changed;
    }
  }
}

function releasedMatrix(addon) {
  const matrix = addon.createMatrix(0, 2, 2, false);
  addon.releaseMatrix(matrix);
  return matrix;
}

/** Whole numbers 0 .. below - 1, the same in every run. */
function createRandom(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
