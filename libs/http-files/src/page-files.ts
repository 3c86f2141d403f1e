import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface PageFile {
  readonly bytes: Buffer;
  readonly contentType: string;
}

const CONTENT_TYPES = new Map([
  ['html', 'text/html; charset=utf-8'],
  ['js', 'text/javascript; charset=utf-8'],
  ['css', 'text/css; charset=utf-8'],
  ['svg', 'image/svg+xml'],
]);

/** The files of a static page, held in memory, by name; `index.html` also as the empty name. Empty where nothing was built. */
export async function pageFiles(directory: string): Promise<Map<string, PageFile>> {
  const files = new Map<string, PageFile>();
  for (const name of await readdir(directory).catch(() => [])) {
    const contentType = CONTENT_TYPES.get(name.split('.').at(-1) ?? '');
    if (contentType !== undefined)
      files.set(name, { bytes: await readFile(join(directory, name)), contentType });
  }
  const index = files.get('index.html');
  if (index !== undefined) files.set('', index);
  return files;
}
