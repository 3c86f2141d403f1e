import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ChildProgram, type Program, startChild } from '@ultramem/local-cluster';

const PROGRAM: Program = {
  command: process.execPath,
  args: [fileURLToPath(new URL('../../apps/cli/bin/ultramem.js', import.meta.url))],
};

/** Processes and files of one spec file, which `end` removes. */
export function processesOfSpec() {
  const children: ChildProgram[] = [];
  const files: string[] = [];
  const stopAll = async (): Promise<void> => {
    await Promise.all(children.splice(0).map((child) => child.stop()));
  };
  return {
    start(name: string, args: readonly string[]): ChildProgram {
      const child = startChild(PROGRAM, name, args);
      children.push(child);
      return child;
    },
    tokenFile(token: string): string {
      const file = join(tmpdir(), `token-of-spec-${randomBytes(8).toString('hex')}`);
      writeFileSync(file, token, { mode: 0o600 });
      files.push(file);
      return file;
    },
    stopAll,
    async end(): Promise<void> {
      await stopAll();
      for (const file of files.splice(0)) rmSync(file);
    },
  };
}

/** Asks again until `accept` holds; fails with the last answer after `withinMs`. */
export async function eventually<T>(
  ask: () => Promise<T>,
  accept: (answer: T) => boolean,
  withinMs: number,
): Promise<T> {
  const endMs = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (accept(answer)) return answer;
    if (performance.now() > endMs)
      throw new Error(`not within ${withinMs} ms; the last answer was ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
