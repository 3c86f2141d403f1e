import { expect, it } from 'vitest';
import { captured } from '../test/captured.ts';
import { log } from './log.ts';

it('writes one line: time, what, and facts', async () => {
  const { stdout, stderr } = await captured(() => log('joined', { worker: 'w-1', members: 2, shard: null }));
  expect(stderr).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z joined worker=w-1 members=2 shard=null\n$/);
  expect(stdout).toBe('');
});

it.each([
  ['two words', '"two words"'],
  ['a=b', '"a=b"'],
  ['say "x"', '"say \\"x\\""'],
  ['two\nlines', '"two\\nlines"'],
  ['\u001b[31m', '"\\u001b[31m"'],
  ['', '""'],
  ['plain;text', 'plain;text'],
  ['C:\\x', 'C:\\x'],
])('quotes %j where it would be misread', async (value, written) => {
  const { stderr } = await captured(() => log('event', { value }));
  expect(stderr.slice(stderr.indexOf('value='))).toBe(`value=${written}\n`);
});
