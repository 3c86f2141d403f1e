import { withoutComments } from './code-only.ts';

const IMPORT = /(?<![.\w])(?:from|import|require)\s*\(?\s*(['"])([@\w][\w@./:-]*|\.[\w@./:-]*)\1/g;

/** What a source file imports or re-exports, statically or dynamically, as written. */
export function importsOf(text: string): string[] {
  return [...withoutComments(text).matchAll(IMPORT)].flatMap(([, , specifier]) => specifier ?? []);
}

/** `ws` of `ws/lib/x.js`, `@noble/hashes` of `@noble/hashes/blake3.js`. */
export function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}
