// Prints "passed failed skipped" of a JSON report of vitest; fails when there is none or it holds no test.
import { readFileSync } from 'node:fs';

const [, , path] = process.argv;
const report = JSON.parse(readFileSync(path, 'utf8'));
const { numTotalTests, numPassedTests, numFailedTests, testResults } = report;
if (!(numTotalTests > 0)) throw new Error(`${path} holds no test`);
// A file that does not load has no tests of its own, and is one failure.
const failedFiles = testResults.filter(({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0);
const failed = numFailedTests + failedFiles.length;
console.log(numPassedTests, failed, numTotalTests - numPassedTests - numFailedTests);
