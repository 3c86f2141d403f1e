/** Runs something and gives what it wrote. */
export async function captured(run: () => unknown): Promise<{ stdout: string; stderr: string }> {
  const written = { stdout: '', stderr: '' };
  const restore = (['stdout', 'stderr'] as const).map((name) => {
    const { write } = process[name];
    process[name].write = (text: string | Uint8Array) => {
      written[name] += String(text);
      return true;
    };
    return () => {
      process[name].write = write;
    };
  });
  try {
    await run();
  } finally {
    for (const undo of restore) undo();
  }
  return written;
}
