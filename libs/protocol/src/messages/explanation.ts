import { defineMessage } from '../define-message.ts';
import {
  CODE_LENGTH_MAX,
  NAME_LENGTH_MAX,
  TOKEN_TEXT_LENGTH_MAX,
  WINNERS_MAX,
  WORKERS_MAX,
} from '../limits.ts';
import { f64, list, nullable, oneOf, record, text, u32, u64 } from '../schema.ts';

const key = record({ index: u32, score: f64 });

/**
 * Answers `explain`: one token's retrieval in one memory layer.
 *
 * explanation => id token layer partition scoredBy heads phases shards
 *   token => position tokenId text
 *   layer => number readBlock writeBlock
 *   scoredBy => 'coordinator' | 'workers'
 *   heads => [rows columns winners]                best first
 *     rows, columns => [index score]               candidates of each axis, collapsed scores
 *     winners => [virtualIndex row column score weight block slot shard]
 *       score => f64                               what ranked it; weight => f64 of its first core
 *       shard => u32                               owner of the slot, the first one where columns are cut
 *   phases => [name ms]                            in the order they ran
 *   shards => [shard workerId slots sentBytes receivedBytes]   what each was asked for this token
 */
export const explanation = defineMessage({
  kind: 'explanation',
  head: {
    id: u32,
    token: record({ position: u32, tokenId: u32, text: text(TOKEN_TEXT_LENGTH_MAX) }),
    layer: record({ number: u32, readBlock: u32, writeBlock: u32 }),
    partition: text(CODE_LENGTH_MAX),
    scoredBy: oneOf('coordinator', 'workers'),
    heads: list(
      record({
        rows: list(key, WINNERS_MAX),
        columns: list(key, WINNERS_MAX),
        winners: list(
          record({
            virtualIndex: u64,
            row: u64,
            column: u64,
            score: f64,
            weight: f64,
            block: u32,
            slot: u32,
            shard: u32,
          }),
          WINNERS_MAX,
        ),
      }),
      WINNERS_MAX,
    ),
    phases: list(record({ name: text(NAME_LENGTH_MAX), ms: f64 }), 16),
    shards: list(
      record({
        shard: u32,
        workerId: nullable(text(NAME_LENGTH_MAX)),
        slots: u32,
        sentBytes: u64,
        receivedBytes: u64,
      }),
      WORKERS_MAX,
    ),
  },
});
