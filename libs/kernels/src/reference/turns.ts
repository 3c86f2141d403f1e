/** About 20 ms of plain JavaScript. */
const MACS_PER_TURN = 3e7;

/**
 * Counts multiplications; after each 20 ms' worth gives something to await, so that a process which computes for seconds still
 * answers heartbeats: busy is not dead. Null most of the time, because an await costs more than a small product.
 */
export type Turns = (macs: number) => Promise<void> | null;

/** @param breathe resolves in a later turn of the event loop; null never pauses */
export function createTurns(breathe: (() => Promise<void>) | null): Turns {
  let spent = 0;
  return (macs) => {
    spent += macs;
    if (breathe === null || spent < MACS_PER_TURN) return null;
    spent = 0;
    return breathe();
  };
}
