// Compiles native/{addon,amx,core,simd} into build/ultramem.node with a C++ compiler and nothing else. It never fails the build of the
// repository: what went wrong is one line here and in build/status.json, and the TypeScript side then says so.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const nativeRoot = fileURLToPath(new URL('.', import.meta.url));
const buildRoot = fileURLToPath(new URL('../build', import.meta.url));
const addonPath = join(buildRoot, 'ultramem.node');

export const COMMON_FLAGS = [
  // Sums and products stay as they are written: contraction to FMA would differ between instruction sets.
  ...['-std=c++20', '-pthread', '-ffp-contract=off', '-fno-math-errno'],
  // g++ 12 finds its own AVX-512 headers uninitialised, and notes how old compilers passed vectors.
  ...['-Wall', '-Wextra', '-Wno-maybe-uninitialized', '-Wno-uninitialized', '-Wno-psabi'],
  '-Wno-unknown-warning-option',
];
/** Flags of each instruction set. `core/isa.cc` asks the machine for every feature named here. */
export const ISA_FLAGS =
  process.arch === 'x64'
    ? {
        scalar: [],
        avx2: ['-mavx2', '-mfma', '-mf16c', '-mbmi', '-mbmi2', '-mlzcnt', '-mpopcnt'],
        avx512: [
          ...[
            '-mavx512f',
            '-mavx512bw',
            '-mavx512dq',
            '-mavx512vl',
            '-mavx512vnni',
            '-mprefer-vector-width=512',
          ],
          ...['-mavx2', '-mfma', '-mf16c', '-mbmi', '-mbmi2', '-mlzcnt', '-mpopcnt'],
        ],
      }
    : process.arch === 'arm64'
      ? { scalar: [], neon: [] }
      : { scalar: [] };

/** What amx/ needs beside ISA_FLAGS.avx512; there is nothing of it on other processors. */
const AMX_FLAGS = ['-mamx-tile', '-mamx-int8', '-mamx-bf16'];
/** Folders of every source that needs no header of Node. */
export const PLAIN_FOLDERS = ['amx', 'core', 'simd'];

/** The C++ compiler of CXX or the PATH with its version line, or null. */
export function findCompiler() {
  const names = process.env.CXX ? [process.env.CXX] : ['g++', 'clang++', 'c++'];
  for (const name of names) {
    // A path is relative to where this was started, not to the sources.
    const command = name.includes('/') ? resolve(name) : name;
    const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' });
    if (status === 0) return { command, version: stdout.split('\n')[0] };
  }
  return null;
}

/** Source files of `folders` as `{source, flags, name}`; those in simd once per instruction set, those in amx for x86 alone. */
export function translationUnits(folders) {
  return folders.flatMap((folder) =>
    readdirSync(join(nativeRoot, folder))
      .filter((name) => name.endsWith('.cc'))
      .sort()
      .flatMap((name) => {
        const source = join(nativeRoot, folder, name);
        const stem = `${folder}-${name.slice(0, -3)}`;
        if (folder === 'amx') return process.arch === 'x64' ? [unitFor('amx', 'avx512', AMX_FLAGS)] : [];
        if (folder === 'simd') return Object.keys(ISA_FLAGS).map((isa) => unitFor(isa, isa, []));
        return [{ source, flags: [], name: stem }];

        // Code of `namespace`, written with the vectors of `isa`.
        function unitFor(namespace, isa, more) {
          const names = [`-DULTRAMEM_ISA=${namespace}`, `-DULTRAMEM_ISA_${isa.toUpperCase()}`];
          return { source, flags: [...ISA_FLAGS[isa], ...more, ...names], name: `${stem}.${namespace}` };
        }
      }),
  );
}

/**
 * Compiles each unit, two at a time, unless an object of the same text, headers and flags is there already.
 *
 * @returns {Promise<{objects: string[], compiled: number, failure: string | null}>}
 */
export async function compileUnits(compiler, units, flags, objectRoot) {
  mkdirSync(objectRoot, { recursive: true });
  const objects = [];
  let compiled = 0;
  let failure = null;
  const waiting = [...units];
  const compileNext = async () => {
    for (let unit = waiting.shift(); unit !== undefined && failure === null; unit = waiting.shift()) {
      const options = [...COMMON_FLAGS, ...flags, ...unit.flags];
      const object = join(objectRoot, `${unit.name}.${objectHash(compiler, unit.source, options)}.o`);
      objects.push(object);
      if (existsSync(object)) continue;
      const unfinished = `${object}.${process.pid}`;
      const { status, stderr } = await run(compiler.command, [
        ...options,
        '-c',
        relative(nativeRoot, unit.source),
        '-o',
        unfinished,
      ]);
      if (stderr !== '') process.stderr.write(`${stderr.slice(0, 4000)}\n`);
      if (status === 0) renameSync(unfinished, object);
      else failure ??= firstError(stderr);
      compiled++;
    }
  };
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, compileNext));
  return { objects, compiled, failure };
}

/** Hash of every source the addon is made of; `load-addon.ts` computes the same. */
function hashSources() {
  const hash = createHash('sha256');
  for (const folder of ['addon', ...PLAIN_FOLDERS])
    for (const name of readdirSync(join(nativeRoot, folder)).sort())
      hash.update(`${folder}/${name}\n`).update(readFileSync(join(nativeRoot, folder, name)));
  return hash.digest('hex');
}

function objectHash(compiler, source, options) {
  const hash = createHash('sha256').update(JSON.stringify([compiler, options]));
  for (const path of withIncludes(source, new Set())) hash.update(path).update(readFileSync(path));
  return hash.digest('hex').slice(0, 16);
}

/** The file and what it includes in quotes, directly or not. */
export function withIncludes(path, seen) {
  if (seen.has(path) || !existsSync(path)) return seen;
  seen.add(path);
  for (const [, included] of readFileSync(path, 'utf8').matchAll(/^#include "(.+)"/gm)) {
    withIncludes(join(dirname(path), included), seen);
    withIncludes(join(nativeRoot, included), seen);
  }
  return seen;
}

export function run(command, options) {
  return new Promise((resolve) => {
    // Among the sources, whose names are relative then: a compiler cache sees the same command in every clone.
    const child = spawn(command, options, { cwd: nativeRoot, stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    child.on('error', (error) => resolve({ status: -1, stderr: error.message }));
    child.on('close', (status) => resolve({ status, stderr }));
  });
}

function firstError(stderr) {
  return stderr.split('\n').find((line) => /error|cannot find|not found/i.test(line)) ?? stderr.slice(0, 300);
}

async function link(compiler, objects) {
  const unfinished = `${addonPath}.${process.pid}`;
  const flags =
    process.platform === 'darwin'
      ? ['-bundle', '-undefined', 'dynamic_lookup']
      : ['-shared', '-static-libstdc++', '-static-libgcc', '-Wl,--exclude-libs,ALL'];
  const { status, stderr } = await run(compiler.command, [
    ...flags,
    '-pthread',
    ...objects,
    '-o',
    unfinished,
  ]);
  if (status !== 0) return firstError(stderr);
  renameSync(unfinished, addonPath);
  return null;
}

/** Objects of older sources; an hour old, so that a build that runs beside this one keeps its own. */
function dropOldObjects(objectRoot, objects) {
  const kept = new Set(objects);
  for (const name of readdirSync(objectRoot)) {
    const path = join(objectRoot, name);
    if (!kept.has(path) && Date.now() - statSync(path).mtimeMs > 3_600_000) rmSync(path);
  }
}

async function build() {
  const compiler = findCompiler();
  const common = { compiler: compiler?.version ?? null, sourcesHash: hashSources() };
  const failed = (why, remedy = 'install a C++ compiler (g++ or clang++) and run npm run build') => ({
    ...{ ok: false, why, remedy },
    ...common,
  });
  if (process.platform === 'win32')
    return failed('Windows is not supported', 'run it on Linux, in WSL for example');
  if (compiler === null && process.env.CXX)
    return failed(
      `CXX is ${process.env.CXX}, which does not run`,
      'let CXX name a C++ compiler, or unset it, and run npm run build',
    );
  if (compiler === null) return failed('there is no C++ compiler');
  const flags = [
    ...['-O3', '-fPIC', '-fvisibility=hidden', '-DNAPI_VERSION=8', '-I.'],
    `-I${createRequire(import.meta.url)('node-api-headers').include_dir}`,
  ];
  const objectRoot = join(buildRoot, 'objects');
  const units = translationUnits(['addon', ...PLAIN_FOLDERS]);
  const { objects, compiled, failure } = await compileUnits(compiler, units, flags, objectRoot);
  if (failure !== null) return failed(`compiling failed: ${failure}`);
  if (compiled > 0 || !existsSync(addonPath) || readStatus()?.sourcesHash !== common.sourcesHash) {
    const why = await link(compiler, objects.sort());
    if (why !== null) return failed(`linking failed: ${why}`);
  }
  dropOldObjects(objectRoot, objects);
  return { ok: true, ...common };
}

/** Of the last build; null before the first. */
export function readStatus() {
  const path = join(buildRoot, 'status.json');
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null;
}

/** What people should know of a build that failed. */
export function notBuilt({ why, remedy }) {
  return `native kernels: not built, the reference kernels stand in, which are far slower: ${why}; to have native ones, ${remedy}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const startMs = performance.now();
  mkdirSync(buildRoot, { recursive: true });
  const status = await build();
  writeFileSync(join(buildRoot, 'status.json'), `${JSON.stringify(status, null, 2)}\n`);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  if (status.ok) console.log(`native kernels: built with ${status.compiler} in ${seconds} s`);
  else console.log(notBuilt(status));
}
