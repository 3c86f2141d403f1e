import type { Row } from './row.ts';

const HEADINGS = [
  'case',
  'what',
  'batch',
  'dtype',
  'backend',
  'ours',
  'peer',
  'theirs',
  'ratio',
  'goal',
  'verdict',
  'note',
];

/** For people at a terminal: one line a row, spreads in brackets (10 % to 90 %). */
export function textTable(rows: readonly Row[], machine: string): string {
  const cells = [HEADINGS, ...rows.map(cellsOf)];
  const widths = HEADINGS.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const lines = cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n\n${summary(rows)}\n${machine}\n`;
}

export function markdownTable(rows: readonly Row[], machine: string): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const table = [line(HEADINGS), line(HEADINGS.map(() => '---')), ...rows.map((row) => line(cellsOf(row)))];
  return `${table.join('\n')}\n\n${summary(rows)}\n\nMachine: ${machine}.\n`;
}

function cellsOf(row: Row): string[] {
  return [
    row.case,
    row.what,
    row.batch === null ? '' : `${row.batch}`,
    row.dtype?.toLowerCase() ?? '',
    row.workers > 0 ? `${row.backend}, ${row.workers} workers` : row.backend,
    row.value === null ? time(row.oursMs, row.oursP10Ms, row.oursP90Ms) : `${digits(row.value)} ${row.unit}`,
    row.peer ?? '',
    time(row.peerMs, row.peerP10Ms, row.peerP90Ms),
    row.ratio === null ? '' : `${digits(row.ratio)}x${range(row.ratioP10, row.ratioP90)}`,
    row.goal === null ? '' : `${digits(row.goal)}x`,
    verdict(row),
    row.note ?? '',
  ];
}

export function verdict({ met, goal }: Pick<Row, 'met' | 'goal'>): string {
  if (met !== null) return met ? 'met' : 'not met';
  return goal === null ? '' : 'not measured';
}

function summary(rows: readonly Row[]): string {
  const count = (wanted: string) => rows.filter((row) => verdict(row) === wanted).length;
  return `goals: ${count('met')} met, ${count('not met')} not met, ${count('not measured')} not measured`;
}

function time(median: number | null, p10: number | null, p90: number | null): string {
  return median === null ? '' : `${digits(median)} ms${range(p10, p90)}`;
}

function range(low: number | null, high: number | null): string {
  return low === null || high === null ? '' : ` (${digits(low)} to ${digits(high)})`;
}

/** Three significant digits, without exponents. */
export function digits(value: number): string {
  if (!Number.isFinite(value) || value === 0) return `${value}`;
  const places = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(places, 6));
}
