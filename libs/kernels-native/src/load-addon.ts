import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { DenseAddon } from './dense.ts';
import type { MergingAddon } from './merging.ts';
import type { PackingAddon } from './packing.ts';
import type { PoolingAddon } from './pooling.ts';
import type { SelectionAddon } from './selection.ts';

const buildRoot = new URL('../build/', import.meta.url);
const nativeRoot = new URL('../native/', import.meta.url);

/** An object of the native side: only the addon can look inside. */
export type NativeHandle<Kind extends string> = { readonly native: Kind };

/** Undefined when the work is done already, else a promise that settles when it is. */
export type Pending = Promise<void> | undefined;

export type Engine = NativeHandle<'engine'>;

/** What the addon exports (`native/addon/addon.cc`): each area of the contract declares its own part. */
export interface Addon extends DenseAddon, MergingAddon, PackingAddon, PoolingAddon, SelectionAddon {
  /** Instruction set in use: `scalar`, `avx2`, `avx512`, `amx` or `neon`. */
  readonly isa: string;
  /** Those this machine can run, the plainest first, as in `scalar avx2 avx512`. */
  readonly isas: string;
  /** Whether products are faster with activations in bf16. */
  readonly multipliesBf16: boolean;
  createEngine(threads: number): Engine;
  /** Settles after everything that was asked before. */
  drainEngine(engine: Engine): Promise<void>;
  stopEngine(engine: Engine): void;
}

export type LoadedAddon = { addon: Addon } | { addon: null; why: string; remedy: string };

let loaded: LoadedAddon | undefined;

/** The addon of `native/build.mjs`, or why there is none. Loaded once per process. */
export function loadAddon(): LoadedAddon {
  loaded ??= load();
  return loaded;
}

function load(): LoadedAddon {
  const status = readStatus();
  if (status === null)
    return { addon: null, why: 'the native kernels are not built', remedy: 'run npm run build' };
  if (!status.ok) return { addon: null, why: status.why, remedy: status.remedy };
  if (status.sourcesHash !== hashSources())
    return {
      addon: null,
      why: 'the native kernels were built from other sources',
      remedy: 'run npm run build',
    };
  try {
    return { addon: createRequire(import.meta.url)(new URL('ultramem.node', buildRoot).pathname) as Addon };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const isNamed = why.startsWith('ULTRAMEM_ISA');
    return { addon: null, why, remedy: isNamed ? 'unset ULTRAMEM_ISA' : 'run npm run build on this machine' };
  }
}

type BuildStatus = { sourcesHash: string } & ({ ok: true } | { ok: false; why: string; remedy: string });

/** `build/status.json`, or null before the first build. */
function readStatus(): BuildStatus | null {
  try {
    return JSON.parse(readFileSync(new URL('status.json', buildRoot), 'utf8')) as BuildStatus;
  } catch {
    return null;
  }
}

/** As `hashSources` of `native/build.mjs`, which a test holds it against. */
export function hashSources(): string {
  const hash = createHash('sha256');
  for (const folder of ['addon', 'amx', 'core', 'simd'])
    for (const name of readdirSync(new URL(folder, nativeRoot)).sort())
      hash.update(`${folder}/${name}\n`).update(readFileSync(new URL(`${folder}/${name}`, nativeRoot)));
  return hash.digest('hex');
}
