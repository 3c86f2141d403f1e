import { stat } from 'node:fs/promises';
import { join } from 'node:path';

/** One file that is served, as it was when the server started. */
export interface ModelFile {
  readonly path: string;
  readonly byteCount: number;
  readonly contentType: string;
}

/** The files of `names` in a directory, by name. What is served is looked up here, so no path leads anywhere else. */
export async function modelFiles(
  directory: string,
  names: Iterable<string>,
): Promise<Map<string, ModelFile>> {
  const files = new Map<string, ModelFile>();
  for (const name of names) {
    const path = join(directory, name);
    const contentType = name.endsWith('.json') ? 'application/json' : 'application/octet-stream';
    files.set(name, { path, byteCount: (await stat(path)).size, contentType });
  }
  return files;
}
