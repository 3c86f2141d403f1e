/** One line of a verification; what was not compared is null or absent. */
export interface VerifyCase {
  name: string;
  ok: boolean;
  /**
   * Layers: winners, blocks and slots equal the recorded ones in order. Models: the greedy tokens equal the recorded ones. With
   * workers, moreover, every candidate, winner, score and slot of every lookup equals that of one process.
   */
  indicesEqual: boolean;
  /** Largest difference from the reference: of a layer's output, or of a logit. */
  maxAbsError: number;
  maxHiddenError?: number | null;
  maxScoreError?: number;
  maxPooledError?: number;
  /** With workers: pooled vectors equal those of one process bit for bit. */
  bitIdentical?: boolean;
  /** With workers: largest difference of a pooled number from one process, over the largest number. */
  maxRelativeError?: number;
  /** The case could not be run: what an error line says. */
  error?: string;
}
