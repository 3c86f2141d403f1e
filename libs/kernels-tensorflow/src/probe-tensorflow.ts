import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setupCommand, whyAbsent } from './binding.ts';

export type TensorflowProbe =
  | { available: true; detail: string }
  | { available: false; why: string; remedy: string };

let found: Promise<TensorflowProbe> | null = null;

/**
 * Whether TensorFlow can be used here, and on what: `TensorFlow 2.20.0, CPU`, or `.., GPU` and the card's name. Loads nothing into
 * this process, where the first load decides about the device: libraries for the CPU were tried when they were set up; those
 * for a GPU are tried in a process of their own, once.
 */
export function probeTensorflow(): Promise<TensorflowProbe> {
  const absent = whyAbsent();
  if (absent !== null) return Promise.resolve({ available: false, ...absent });
  found ??= readSetup() ?? tryOut();
  return found;
}

function readSetup(): Promise<TensorflowProbe> | null {
  try {
    const stamp = new URL('../runtime/packages/stamp.json', import.meta.url);
    const { tensorflow, kind } = JSON.parse(readFileSync(stamp, 'utf8'));
    return kind === 'cpu'
      ? Promise.resolve({ available: true, detail: `TensorFlow ${tensorflow}, CPU` })
      : null;
  } catch {
    return null; // set up in another way
  }
}

function tryOut(): Promise<TensorflowProbe> {
  const verify = fileURLToPath(new URL('../verify.cjs', import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, [verify], { timeout: 60_000 }, (error, stdout, stderr) => {
      if (error !== null) {
        const reason = /Error: (.+)/.exec(stderr)?.[1] ?? error.message.split('\n')[0];
        resolve({
          available: false,
          why: `TensorFlow does not start: ${reason}`,
          remedy: `run ${setupCommand()}`,
        });
        return;
      }
      const detail = stdout.trim().split('\n').at(-1) ?? '';
      const card = /name: (.+?), pci bus id/.exec(stderr)?.[1];
      resolve({ available: true, detail: card === undefined ? detail : `${detail} ${card}` });
    });
  });
}
