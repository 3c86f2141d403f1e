import { type ChildProcess, execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';

export const PROGRAM = fileURLToPath(new URL('../../apps/cli/bin/ultramem.js', import.meta.url));

export const DEMO_MODEL = fileURLToPath(new URL('../../apps/cli/demo-model', import.meta.url));

export interface Outcome {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs the built command line in a process of its own. */
export function runUltramem(...args: string[]): Promise<Outcome> {
  return startUltramem(...args).ended;
}

/** The same, for those who want to stop it. */
export function startUltramem(...args: string[]): {
  kill: (signal: NodeJS.Signals) => void;
  ended: Promise<Outcome>;
} {
  let child: ChildProcess | null = null;
  const ended = new Promise<Outcome>((resolve) => {
    child = execFile(process.execPath, [PROGRAM, ...args], (error, stdout, stderr) => {
      resolve({ exitCode: error === null ? 0 : Number(error.code), stdout, stderr: withoutDrivers(stderr) });
    });
  });
  return { kill: (signal) => child?.kill(signal), ended };
}

/** What graphics drivers write past everybody when WebGPU looks for them. */
function withoutDrivers(stderr: string): string {
  return stderr.replace(/^Warning: Vulkan .*\n( - While .*\n)?( +at .*\n)*\n?/gm, '');
}

/** What every failure looks like: nothing on stdout, one line with code and three parts on stderr. */
export function failureLine(code: string, text: string): RegExp {
  const escaped = text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^error ${code}: [^\\n]*${escaped}[^\\n]*; expected [^\\n;]*; [^\\n]+\\n$`);
}

/** An empty directory that goes with the spec file. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'ultramem-cli-'));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
