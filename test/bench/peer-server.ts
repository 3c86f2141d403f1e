import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { OperatingError } from '@ultramem/invariant';
import type { Side } from './interleave.ts';

const SERVER = fileURLToPath(new URL('./peers/server.py', import.meta.url));
const INSTALLED = fileURLToPath(new URL('./.peers/bin/python', import.meta.url));
const STDERR_KEPT = 2000;

/** The interpreter that has the peers, or what to do. */
export function peersPython(): { python: string } | { why: string } {
  const python = process.env.ULTRAMEM_PEERS_PYTHON ?? INSTALLED;
  return existsSync(python) ? { python } : { why: 'PyTorch is not set up; run: npm run bench:setup' };
}

/** What `write` wrote. */
export async function readNumbers(path: string): Promise<Float64Array> {
  const bytes = await readFile(path);
  return new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

/** A PyTorch process that stays up and times what it is told (see peers/server.py). It sleeps between requests. */
export class PeerServer {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #waiting = new Map<number, (answer: Record<string, unknown>) => void>();
  #stderr = '';
  #lastId = 0;
  #ended: string | null = null;

  constructor(python: string, threads: number | null) {
    const args = [SERVER, ...(threads === null ? [] : ['--threads', `${threads}`])];
    this.#child = spawn(python, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT);
    });
    createInterface(this.#child.stdout).on('line', (line) => {
      const answer = JSON.parse(line) as { id: number } & Record<string, unknown>;
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    const end = (how: string): void => {
      this.#ended ??= how;
      for (const settle of this.#waiting.values()) settle({ error: `it ended (${how})` });
      this.#waiting.clear();
    };
    this.#child.on('error', (error) => end(error.message));
    this.#child.on('close', (code, signal) => end(signal ?? `exit code ${code}`));
    this.#child.stdin.on('error', () => {}); // 'close' says it
  }

  hello(): Promise<{ torch: string; threads: number }> {
    return this.#ask({ do: 'hello' }) as Promise<{ torch: string; threads: number }>;
  }

  async prepare(workload: string, args: object): Promise<Record<string, number>> {
    const { info } = await this.#ask({ do: 'prepare', workload, args });
    return info as Record<string, number>;
  }

  async input(
    name: string,
    tensor: { path: string; dtype: string; shape: readonly number[] },
  ): Promise<void> {
    await this.#ask({ do: 'input', name, ...tensor });
  }

  side(call: string, args: object): Side {
    return {
      time: async (seconds, atLeast) =>
        (await this.#ask({ do: 'time', call, args, seconds, atLeast })).ms as number[],
    };
  }

  /** Runs a call once; its tensors lie in the file as f64, one after the other. */
  async write(call: string, args: object, path: string): Promise<void> {
    await this.#ask({ do: 'write', call, args, path });
  }

  /** Frees what was prepared. */
  async drop(): Promise<void> {
    await this.#ask({ do: 'drop' });
  }

  close(): void {
    this.#child.stdin.end();
    this.#child.kill();
  }

  async #ask(request: Record<string, unknown>): Promise<Record<string, unknown>> {
    const id = ++this.#lastId;
    const answer = await new Promise<Record<string, unknown>>((resolve) => {
      if (this.#ended !== null) return resolve({ error: `it ended (${this.#ended})` });
      this.#waiting.set(id, resolve);
      this.#child.stdin.write(`${JSON.stringify({ id, ...request })}\n`);
    });
    if (typeof answer.error === 'string') {
      const last = this.#stderr.trim().split('\n').at(-1) ?? '';
      throw new OperatingError(
        'PROCESS_ENDED',
        `the peer could not ${request.do} (${answer.error}; ${last}); expected an answer; look at test/bench/peers`,
      );
    }
    return answer;
  }
}
