import { describe, expect, it } from 'vitest';
import { readRecordings } from '../fixtures/recordings.ts';
import { definitionOf, isRequest, KINDS, type Message } from './message.ts';

const recorded = new Map(readRecordings().map(({ kind, message }) => [kind, message]));

describe('the table of kinds', () => {
  it('names an answer and parts that exist, with the id of the request', () => {
    for (const kind of KINDS) {
      const definition = definitionOf(kind)!;
      for (const reply of [definition.answer, definition.part]) {
        if (reply === null) continue;
        expect(definitionOf(reply)?.head, `${kind} is answered by ${reply}`).toHaveProperty('id');
        expect(definitionOf(reply)).toMatchObject({ answer: null, part: null });
      }
    }
  });

  it('gives requests, and only them, an id and a deadline', () => {
    for (const kind of KINDS) {
      const { head, answer } = definitionOf(kind)!;
      expect('deadlineMs' in head, kind).toBe(answer !== null);
      if (answer !== null) expect(head).toHaveProperty('id');
      expect(isRequest(recorded.get(kind)!)).toBe(answer !== null);
    }
  });

  it('knows no other kinds', () => {
    expect(definitionOf('constructor')).toBeUndefined();
    expect(definitionOf('Score')).toBeUndefined();
  });
});

describe('relations between the fields of a message', () => {
  it.each<[Message['kind'], Record<string, unknown>, string]>([
    ['hello', { protocolMin: 2 }, 'hello: protocolMin is 2; expected at most protocolMax, 1'],
    [
      'hello',
      { worker: null },
      'hello: role is "worker" without a worker; expected a worker for the role "worker" only',
    ],
    [
      'hello',
      { role: 'client' },
      'hello: role is "client" with a worker; expected a worker for the role "worker" only',
    ],
    ['assign', { rows: { start: 2, end: 1 } }, 'assign: rows is 2 to 1; expected start <= end'],
    ['assign', { columns: { start: 2, end: 1 } }, 'assign: columns is 2 to 1; expected start <= end'],
    ['assign', { preColumns: { start: 2, end: 1 } }, 'assign: preColumns is 2 to 1; expected start <= end'],
    ['assign', { keys: { start: 2, end: 1 } }, 'assign: keys is 2 to 1; expected start <= end'],
    [
      'score',
      { query: new Float32Array(3) },
      'score: query holds 3 numbers; expected a multiple of tokenCount x groupCount x 2 = 2',
    ],
    [
      'score',
      { tokenCount: 0 },
      'score: query holds 4 numbers; expected a multiple of tokenCount x groupCount x 2 = 0',
    ],
    [
      'candidates',
      { index: new Uint32Array(5) },
      'candidates: index holds 5 numbers; expected a multiple of tokenCount x 2 x perSide = 4',
    ],
    [
      'candidates',
      { refined: new Float32Array(7) },
      'candidates: refined holds 7 numbers; expected a multiple of the length of index = 4',
    ],
    [
      'prescore',
      { entryStart: Uint32Array.of(0, 3) },
      'prescore: entryStart holds 2 numbers; expected tokenCount + 1 = 3',
    ],
    ['prescore', { entryStart: Uint32Array.of(1, 2, 3) }, 'prescore: entryStart begins with 1; expected 0'],
    [
      'prescore',
      { entryStart: Uint32Array.of(0, 4, 3) },
      'prescore: entryStart falls from 4 to 3 at token 1; expected it to rise',
    ],
    [
      'prescore',
      { entryStart: Uint32Array.of(0, 1, 2) },
      'prescore: entryStart ends with 2; expected the number of slots, 3',
    ],
    [
      'prescore',
      { query: new Float32Array(5) },
      'prescore: query holds 5 numbers; expected a multiple of tokenCount = 2',
    ],
    [
      'pool',
      { entryStart: Uint32Array.of(0, 1, 2) },
      'pool: entryStart ends with 2; expected the number of slots, 3',
    ],
    ['pool', { block: new Uint8Array(2) }, 'pool: block holds 2 numbers; expected the number of slots = 3'],
    ['pool', { block: Uint8Array.of(0, 4, 0) }, 'pool: block[1] is 4; expected below blockCount, 4'],
    ['pool', { weight: new Float32Array(3) }, 'pool: weight holds 3 numbers; expected slots x coreCount = 6'],
    [
      'pool',
      { preQuery: new Float32Array(3) },
      'pool: preQuery holds 3 numbers; expected a multiple of tokenCount = 2',
    ],
    ['generate', { prompts: [] }, 'generate: prompts is empty; expected at least one prompt'],
    [
      'generate',
      { prompts: [{ text: null, ids: null }] },
      'generate: prompts[0] has text and ids both or neither; expected exactly one of them',
    ],
    [
      'generate',
      { prompts: [{ text: '', ids: [] }] },
      'generate: prompts[0] has text and ids both or neither; expected exactly one of them',
    ],
    ['generate', { temperature: -0.5 }, 'generate: temperature is -0.5; expected 0 or more'],
    ['generate', { topP: 0 }, 'generate: topP is 0; expected above 0 and at most 1'],
    ['generate', { topP: 1.5 }, 'generate: topP is 1.5; expected above 0 and at most 1'],
    ['evaluate', { contextLength: 0 }, 'evaluate: contextLength is 0; expected at least 1'],
  ])('%s %#', (kind, change, reason) => {
    const definition = definitionOf(kind)!;
    const message = recorded.get(kind)!;
    expect(definition.invalid(message)).toBeNull();
    expect(definition.invalid({ ...message, ...change })).toBe(reason);
  });

  it('an empty batch is sound', () => {
    const empty = { tokenCount: 0, entryStart: Uint32Array.of(0), slot: new Uint32Array(0) };
    expect(
      definitionOf('prescore')!.invalid({
        ...recorded.get('prescore')!,
        ...empty,
        query: new Float32Array(0),
      }),
    ).toBeNull();
  });
});
