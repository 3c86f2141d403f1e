import { defineMessage } from '../define-message.ts';
import { notRange } from '../invalid-shape.ts';
import { nullable, record, u32, u64 } from '../schema.ts';

const range = record({ start: u64, end: u64 });

/**
 * Tells a worker what to hold from the plan `epoch` on, in place of what it held. Answered by `ready` once it is resident.
 *
 * assign => id deadlineMs epoch shard rows columns preColumns keys
 *   epoch, shard => u32
 *   rows => range            slots of the value table
 *   columns => range         of the value table
 *   preColumns => range      of the pre-value table, empty without one
 *   keys => range | nil      key rows of both axes; nil: the coordinator scores
 *   range => start end       u64, half-open
 */
export const assign = defineMessage({
  kind: 'assign',
  head: {
    id: u32,
    deadlineMs: u32,
    epoch: u32,
    shard: u32,
    rows: range,
    columns: range,
    preColumns: range,
    keys: nullable(range),
  },
  answer: 'ready',
  invalid: ({ rows, columns, preColumns, keys }) =>
    notRange('rows', rows) ??
    notRange('columns', columns) ??
    notRange('preColumns', preColumns) ??
    (keys === null ? null : notRange('keys', keys)),
});
