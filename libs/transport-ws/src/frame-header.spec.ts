import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { frameHeader } from './frame-header.ts';

// Exported, but not by its types.
const { Sender } = createRequire(import.meta.url)('ws') as {
  Sender: { frame(data: { length: number }, options: object): Buffer[] };
};

describe('frameHeader', () => {
  it.each([0, 1, 125, 126, 127, 65_535, 65_536, 2 ** 28])(
    'is the one that ws writes for %i bytes',
    (length) => {
      for (const mask of [false, true]) {
        const generateMask = (key: Buffer) => key.fill(0);
        const [header] = Sender.frame(
          { length },
          { fin: true, opcode: 2, mask, readOnly: false, generateMask },
        );
        expect([...frameHeader(length, mask)]).toEqual([...header]);
      }
    },
  );
});
