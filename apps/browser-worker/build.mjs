// Puts the page together in dist/: its files as they are, and one module with everything that it imports.
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

mkdirSync(here('dist'), { recursive: true });
for (const file of readdirSync(here('page'))) copyFileSync(here(`page/${file}`), here(`dist/${file}`));
await build({
  entryPoints: [here('src/main.ts')],
  outfile: here('dist/main.js'),
  bundle: true,
  format: 'esm',
  target: 'es2023',
  conditions: ['@ultramem/source'],
  minify: true,
  legalComments: 'eof',
  logLevel: 'warning',
});
