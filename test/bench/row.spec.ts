import { expect, it } from 'vitest';
import { againstTime, alone, comparison, figure, missing } from './row.ts';
import { digits, markdownTable, textTable, verdict } from './tables.ts';

const SUBJECT = { case: 'select', what: 'score and select', backend: 'reference', batch: 16, dtype: 'F32' };
const rounds = (ms: number) => [
  [ms, ms],
  [ms, ms],
];
const against = (ms: number) =>
  comparison(SUBJECT, rounds(1), { name: 'PyTorch', rounds: rounds(ms), goal: 10 });

it('judges by the ratio, and only what was measured', () => {
  expect(against(10)).toMatchObject({
    ratio: 10,
    ratioP10: 10,
    ratioP90: 10,
    met: true,
    oursMs: 1,
    peerMs: 10,
  });
  expect(against(9.99)).toMatchObject({ met: false });
  expect(againstTime(SUBJECT, 3, { name: 'limit', ms: 6, goal: 1 })).toMatchObject({ ratio: 2, met: true });
  expect(alone(SUBJECT, rounds(2), 10)).toMatchObject({ oursMs: 2, ratio: null, goal: 10, met: null });
  expect(verdict(alone(SUBJECT, rounds(2), 10))).toBe('not measured');
  expect(verdict(missing(SUBJECT, 1))).toBe('not measured');
  expect(verdict(figure(SUBJECT, 5, 'GB/s'))).toBe('');
});

it('gives every row the same fields, so that a line of JSON can be read without looking', () => {
  const rows = [
    against(1),
    againstTime(SUBJECT, 1, { name: 'x', ms: 1, goal: null }),
    figure(SUBJECT, 1, 'MB'),
    missing(SUBJECT),
  ];
  const fields = [...rows, alone(SUBJECT, rounds(1))].map((row) =>
    Object.keys(JSON.parse(JSON.stringify(row))).sort(),
  );
  for (const names of fields) expect(names).toEqual(fields[0]);
});

it('prints three significant digits', () => {
  expect([0, 0.00012345, 0.5, 1.005, 12.34, 123.4, 98765, Number.NaN].map(digits)).toEqual([
    '0',
    '0.000123',
    '0.500',
    '1.00',
    '12.3',
    '123',
    '98765',
    'NaN',
  ]);
});

it('prints a table with verdicts and their sum', () => {
  const rows = [against(20), against(2), missing({ ...SUBJECT, note: 'no GPU' }, 1)];
  const text = textTable(rows, 'this machine');
  expect(text).toMatch(
    /score and select +16 +f32 +reference +1\.00 ms \(1\.00 to 1\.00\) +PyTorch +20\.0 ms .* 10\.0x +met\n/,
  );
  expect(text).toMatch(/ not met\n/);
  expect(text).toMatch(/1\.00x +not measured +no GPU\n/);
  expect(text).toContain('goals: 1 met, 1 not met, 1 not measured\nthis machine\n');
  const lines = markdownTable(rows, 'this machine').split('\n');
  expect(lines[1]).toMatch(/^(\| --- )+\|$/);
  expect(new Set(lines.slice(0, 5).map((line) => line.split('|').length)).size).toBe(1);
});
