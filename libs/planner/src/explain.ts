import type { MemoryGeometry } from '@ultramem/ultramem';
import type { Estimate, Fitting } from './candidate.ts';
import { formatBytes } from './format-bytes.ts';
import { formatPartition } from './partition.ts';
import type { Plan } from './plan.ts';
import type { ShardSlice } from './shard.ts';

const LINE_CHARACTERS = 108;
const HEAD = [
  '',
  'partition',
  'keys',
  'memory per worker',
  'out/token',
  'in/token',
  'trips',
  'ms, batch 1',
  'batch 256',
];
const WIDTHS = [1, 12, 11, 21, 10, 10, 5, 11, 9];
/** Where the reason of a refused candidate begins: after mark, partition and keys. */
const REASON_COLUMN = 30;

/** The comparison behind a plan, for people: lines of at most 108 characters, the chosen one marked with a star. */
export function explainPlan(plan: Plan, geometry: MemoryGeometry): string {
  const { layerCount, tableRows, valueWidth, preWidth } = geometry;
  const tables = geometry.sharedTable ? 'one table' : `${layerCount} tables`;
  const pre = preWidth > 0 ? ` + ${preWidth} pre-value` : '';
  return [
    `${layerCount} memory layers of ${geometry.family}, ${tables} of ${tableRows} rows x ${valueWidth}${pre} columns, ${plan.slices.length} workers`,
    '',
    row(HEAD),
    ...plan.estimates.flatMap((estimate) => estimateLines(estimate, isChosen(plan, estimate))),
    '',
    ...wrap(
      `chosen: ${formatPartition(plan.partition)} with keys ${plan.keys}, because ${plan.chosenBecause}`,
      0,
    ),
    ...wrap(
      'one memory layer, means over layers; keys auto shows trips at both batch sizes and bytes at batch 256',
      0,
    ),
  ].join('\n');
}

/** The same facts for programs: plain JSON, bytes as numbers, partitions as they are written on the command line. */
export function planFacts(plan: Plan): {
  partition: string;
  keys: string;
  chosenBecause: string;
  workers: (ShardSlice & { worker: string; bytes: number })[];
  estimates: object[];
} {
  const chosen = plan.estimates.find((estimate) => isChosen(plan, estimate));
  return {
    partition: formatPartition(plan.partition),
    keys: plan.keys,
    chosenBecause: plan.chosenBecause,
    workers: plan.slices.map((slice, shard) => ({
      worker: plan.workerIds[shard],
      ...slice,
      bytes: chosen?.refusal === null ? chosen.workerBytes[shard] : 0,
    })),
    estimates: plan.estimates.map((estimate) => ({
      ...estimate,
      partition: formatPartition(estimate.partition),
      refusal: estimate.refusal === null ? null : estimate.refusal.text,
    })),
  };
}

function isChosen(plan: Plan, estimate: Estimate): estimate is Fitting {
  return (
    estimate.refusal === null &&
    estimate.keys === plan.keys &&
    formatPartition(estimate.partition) === formatPartition(plan.partition)
  );
}

function estimateLines(estimate: Estimate, chosen: boolean): string[] {
  const start = [chosen ? '*' : '', formatPartition(estimate.partition), estimate.keys];
  if (estimate.refusal !== null) {
    const [first, ...rest] = wrap(`no: ${estimate.refusal.text}`, REASON_COLUMN);
    return [`${row(start).padEnd(REASON_COLUMN)}${first.trimStart()}`, ...rest];
  }
  const lookups = estimate.lookups;
  const last = lookups[lookups.length - 1];
  const least = formatBytes(Math.min(...estimate.workerBytes));
  const most = formatBytes(Math.max(...estimate.workerBytes));
  const trips = [...new Set(lookups.map(({ roundTrips }) => roundTrips))].join('/');
  return [
    row([
      ...start,
      least === most ? most : `${least} - ${most}`,
      formatBytes(last.bytesOut),
      formatBytes(last.bytesBack),
      trips,
      ...lookups.map(({ ms }) => ms.toPrecision(3)),
    ]),
  ];
}

/** Text columns to the left, numbers to the right. */
function row(cells: readonly string[]): string {
  return cells
    .map((cell, i) => (i < 3 ? cell.padEnd(WIDTHS[i]) : cell.padStart(WIDTHS[i])))
    .join('  ')
    .trimEnd();
}

/** Breaks at spaces; every line is indented. A single longer word stays whole. */
function wrap(text: string, indent: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const longer = lines.length > 0 ? `${lines.at(-1)} ${word}` : null;
    if (longer !== null && longer.length <= LINE_CHARACTERS) lines[lines.length - 1] = longer;
    else lines.push(`${' '.repeat(indent)}${word}`);
  }
  return lines;
}
