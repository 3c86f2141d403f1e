import Table from 'cli-table3';

const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** Columns side by side, numbers to the right; plain text, so that it reads alike on a terminal and in a pipe. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const isNumber = (column: number) =>
    rows.every((row) => /^[-\d.,%]*( ?[A-Za-z]{1,3}B?)?$/.test(row[column] ?? ''));
  const table = new Table({
    head: [...head],
    colAligns: head.map((_, column) => (isNumber(column) ? 'right' : 'left')),
    chars: NO_LINES,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  table.push(...rows.map((row) => [...row]));
  return table.toString().replace(/ +$/gm, '');
}
