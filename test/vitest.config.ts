import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  resolve: { conditions: ['@ultramem/source'] },
  ssr: { resolve: { conditions: ['@ultramem/source'] } },
  test: {
    include: ['{apps,libs,test}/**/*.spec.ts'],
    exclude: ['**/node_modules/**', 'test/consumer/**'],
    testTimeout: 30_000,
    execArgv: ['--experimental-websocket'], // the browser's, which Node 20 has behind a flag
    maxWorkers: 2, // also where there are only two cores: most of the time goes into waiting for processes
  },
});
