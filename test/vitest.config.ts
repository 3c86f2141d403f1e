import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The longest file first: it compiles for minutes, and would go on alone at the end. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLongest = ({ moduleId }: TestSpecification) => moduleId.endsWith('/sanitizers.spec.ts');
    const sorted = await super.sort(files);
    return [...sorted.filter(isLongest), ...sorted.filter((file) => !isLongest(file))];
  }
}

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  resolve: { conditions: ['@ultramem/source'] },
  ssr: { resolve: { conditions: ['@ultramem/source'] } },
  test: {
    include: ['{apps,libs,test}/**/*.spec.ts'],
    exclude: ['**/node_modules/**', 'test/consumer/**'],
    testTimeout: 30_000,
    sequence: { sequencer: LongestFirst },
    execArgv: ['--experimental-websocket'], // the browser's, which Node 20 has behind a flag
    isolate: false, // the tests of libs took half as long again with a process for each file, which loads the same modules
    maxWorkers: 2, // also where there are only two cores: most of the time goes into waiting for processes
  },
});
