import { mkdtempSync, rmSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBackend } from '@ultramem/backends';
import { type SynthOptions, synthByteCount, synthCheckpoint } from '@ultramem/checkpoint';
import { writeCheckpoint } from '@ultramem/checkpoint-file';
import { type ActivationDType, type Kernels, withBf16Activations } from '@ultramem/kernels';
import { interleave, type Side } from './interleave.ts';
import { MachineReader } from './machine-reader.ts';
import type { BenchOptions } from './options.ts';
import { PeerServer, peersPython } from './peer-server.ts';
import type { Row } from './row.ts';
import type { Rounds } from './statistics.ts';

/** V8 has compiled what matters after some 5,000 calls. */
export const WARM_UP_SECONDS = 4;

/** What the cases share: options, kernels, peers, files that vanish at the end. */
export class BenchContext {
  readonly options: BenchOptions;
  readonly #report: (row: Row) => void;
  readonly #progress: (text: string) => void;
  readonly #models = new Map<string, string>();
  #kernels: Promise<Kernels> | null = null;
  #peer: PeerServer | null = null;
  #machine: MachineReader | null | undefined;
  #path: string | null = null;
  #fileCount = 0;

  constructor(options: BenchOptions, report: (row: Row) => void, progress: (text: string) => void) {
    this.options = options;
    this.#report = report;
    this.#progress = progress;
  }

  /** Small sizes decide nothing: a quick run has no verdicts. */
  report(row: Row): void {
    this.#report(this.options.quick ? { ...row, goal: null, met: null } : row);
  }

  progress(text: string): void {
    this.#progress(text);
  }

  async kernels(activations: ActivationDType = 'F32'): Promise<Kernels> {
    const { backend, threads } = this.options;
    this.#kernels ??= openBackend({ backend, threads });
    return activations === 'BF16' ? withBf16Activations(await this.#kernels) : this.#kernels;
  }

  /** A PyTorch process, or why there is none. */
  peer(): { peer: PeerServer } | { peer: null; why: string } {
    if (!this.options.peers) return { peer: null, why: 'peers were left out (--no-peers)' };
    const found = peersPython();
    if ('why' in found) return { peer: null, why: found.why };
    this.#peer ??= new PeerServer(found.python, this.options.threads);
    return { peer: this.#peer };
  }

  /** A compiled reader of memory; null without a compiler. */
  async machine(): Promise<MachineReader | null> {
    if (this.#machine === undefined)
      this.#machine = MachineReader.start(await this.directory(), this.options.threads);
    return this.#machine;
  }

  /** Of this run; whatever is in it vanishes at the end. */
  async directory(): Promise<string> {
    this.#path ??= mkdtempSync(join(this.options.scratch ?? tmpdir(), 'ultramem-bench-'));
    return this.#path;
  }

  /** A synthetic checkpoint; equal ones are written once. Returns its directory. */
  async model(config: Record<string, unknown>, dtype: SynthOptions['dtype']): Promise<string> {
    const key = JSON.stringify([config, dtype]);
    const known = this.#models.get(key);
    if (known !== undefined) return known;
    const path = join(await this.directory(), `model-${this.#models.size + 1}`);
    const modelBytes = synthByteCount(config, dtype);
    this.progress(`writing a model of ${(modelBytes / 1e9).toFixed(2)} GB`);
    await writeCheckpoint(path, {
      configText: JSON.stringify(config),
      modelBytes,
      writeModel: (sink) => synthCheckpoint(config, { seed: 1, dtype }, sink),
    });
    this.#models.set(key, path);
    return path;
  }

  async dropModel(path: string): Promise<void> {
    for (const [key, known] of this.#models) if (known === path) this.#models.delete(key);
    await rm(path, { recursive: true, force: true });
  }

  /** Numbers for a peer, as they lie in memory. */
  async file(numbers: Float32Array | Uint32Array | Uint8Array): Promise<string> {
    const path = join(await this.directory(), `numbers-${++this.#fileCount}`);
    await writeFile(path, numbers);
    return path;
  }

  /** @param atLeast runs of one side in one round, also where they take longer than a round has */
  interleave(sides: readonly Side[], atLeast = 3): Promise<Rounds[]> {
    const { rounds, seconds, quick } = this.options;
    return interleave(sides, {
      rounds,
      seconds,
      atLeast: quick ? 1 : atLeast,
      warmUpSeconds: quick ? 0 : WARM_UP_SECONDS,
      settleMs: quick ? 0 : 30,
    });
  }

  /** What `close` does, at once and whatever is under way. */
  abandon(): void {
    this.#peer?.close();
    this.#machine?.close();
    if (this.#path !== null) rmSync(this.#path, { recursive: true, force: true });
  }

  async close(): Promise<void> {
    this.#peer?.close();
    this.#machine?.close();
    if (this.#kernels !== null) await (await this.#kernels.catch(() => null))?.close();
    if (this.#path !== null) await rm(this.#path, { recursive: true, force: true });
  }
}
