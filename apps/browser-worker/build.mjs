// Puts the page together in dist/: its files as they are, and one module with everything that it imports.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

mkdirSync(here('dist'), { recursive: true });
for (const file of readdirSync(here('page'))) copyFileSync(here(`page/${file}`), here(`dist/${file}`));
const { outputFiles, metafile } = await build({
  entryPoints: [here('src/main.ts')],
  bundle: true,
  format: 'esm',
  target: 'es2023',
  conditions: ['@ultramem/source'],
  minify: true,
  legalComments: 'none',
  metafile: true,
  write: false,
  absWorkingDir: here('.'),
  logLevel: 'warning',
});
const [{ text }] = outputFiles;
writeFileSync(here('dist/main.js'), text + licences(Object.keys(metafile.inputs)));

/** The licences of the packages from outside, which their authors want to travel along. */
function licences(inputs) {
  const folders = new Set(inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input) ?? []));
  return [...folders]
    .map((folder) => {
      const file = readdirSync(here(folder)).find((name) => /^licen[cs]e/i.test(name));
      if (file === undefined) throw new Error(`${folder} has no licence; expected one to carry along`);
      const { name, version } = JSON.parse(readFileSync(here(join(folder, 'package.json')), 'utf8'));
      return `/*!\n${name} ${version}\n\n${readFileSync(here(join(folder, file)), 'utf8')}*/\n`;
    })
    .join('');
}
