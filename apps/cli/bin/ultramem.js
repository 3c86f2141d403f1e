#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = new URL('../dist/main.js', import.meta.url);
if (!existsSync(fileURLToPath(main))) {
  process.stderr.write(
    'error NOT_BUILT: the programs are not built; expected dist/ beside bin/; run: npm run build\n',
  );
  process.exit(1);
}
await import(main.href);
