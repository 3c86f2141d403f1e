import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { OperatingError } from '@ultramem/invariant';
import type { Side } from './interleave.ts';

const SOURCE = fileURLToPath(new URL('./machine/reader.cc', import.meta.url));

/** The machine itself as a peer: a compiled process that reads memory and does nothing else. It sleeps between commands. */
export class MachineReader {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting: ((line: string) => void)[] = [];

  private constructor(program: string, threads: number | null) {
    this.#child = spawn(program, threads === null ? [] : [`${threads}`], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    createInterface(this.#child.stdout).on('line', (line) => this.#waiting.shift()?.(line));
    this.#child.on('close', () => {
      for (const settle of this.#waiting.splice(0)) settle('error it ended');
    });
    this.#child.stdin.on('error', () => {}); // 'close' says it
  }

  /** Null where there is no compiler. */
  static start(directory: string, threads: number | null): MachineReader | null {
    const program = join(directory, 'machine-reader');
    const flags = ['-O3', '-march=native', '-std=c++17', '-pthread'];
    const { status } = spawnSync(process.env.CXX ?? 'g++', [...flags, SOURCE, '-o', program], {
      stdio: 'ignore',
    });
    return status === 0 ? new MachineReader(program, threads) : null;
  }

  /** Rows of a mapped file, which `slots` (32-bit, in a file) pick in turn. */
  async table(
    place: { path: string; offset: number; rowBytes: number },
    slots: { path: string; count: number },
  ): Promise<void> {
    await this.#ask(`table ${place.offset} ${place.rowBytes} ${place.path}`);
    await this.#ask(`slots ${slots.count} ${slots.path}`);
  }

  /** Each run reads the next `count` rows. */
  rows(count: number): Side {
    return this.#side(`rows ${count}`);
  }

  /** The same from a copy of the table's `rowCount` rows in huge pages, where the system has such: fewer misses of the TLB. */
  async copiedRows(count: number, rowCount: number): Promise<Side> {
    await this.#ask(`copy-table ${rowCount}`);
    return this.#side(`copied-rows ${count}`);
  }

  /** Each run reads that many bytes in order. */
  stream(byteCount: number): Side {
    return this.#side(`stream ${byteCount}`);
  }

  copy(byteCount: number): Side {
    return this.#side(`copy ${byteCount}`);
  }

  close(): void {
    this.#child.stdin.end();
  }

  #side(command: string): Side {
    return {
      time: async (seconds, atLeast) => {
        const answer = await this.#ask(`${command} ${seconds} ${atLeast}`);
        return answer.split(' ').slice(1).map(Number);
      },
    };
  }

  async #ask(command: string): Promise<string> {
    const line = await new Promise<string>((resolve) => {
      this.#waiting.push(resolve);
      this.#child.stdin.write(`${command}\n`);
    });
    if (line.startsWith('error'))
      throw new OperatingError(
        'PROCESS_ENDED',
        `the machine reader answered "${line}" to "${command}"; expected figures; look at ${SOURCE}`,
      );
    return line;
  }
}
