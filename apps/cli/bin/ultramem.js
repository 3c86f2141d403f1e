#!/bin/sh
':' //; exec node --initial-old-space-size=256 "$0" "$@"
// A shell script to the system, a module to Node. The flag: a lookup leaves megabytes of arrays outside of V8's heap, and V8 lets both
// together grow by a few megabytes only while the heap is as small as ours, so that it marks everything once for each lookup or two.
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
