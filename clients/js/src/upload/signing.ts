// How many chunks one call signs: few at first, so that the first byte leaves at once, then more. Pure.

const FIRST = 2;
/** While the file is still hashed, a larger batch would only delay its last chunks. */
const LARGEST_WHILE_HASHING = 16;
const LARGEST = 500;
/** A batch has at most the chunks that the link takes in this time, a third of the lifetime of a URL. */
const BATCH_S = 600;

export class SigningBatches {
  private size = FIRST;

  constructor(private readonly chunkSizeBytes: number) {}

  /**
   * Return how many of the `ready` chunks to sign now, 0 to wait for more of them.
   *
   * `left` chunks are not signed yet, of which the first `ready` ones are hashed. While parts are in flight, a full batch
   * is worth waiting for.
   */
  choose({ ready, left, inFlight, lanes }: { ready: number; left: number; inFlight: number; lanes: number }): number {
    const full = Math.min(this.size, left);
    if (!ready || inFlight > 2 * lanes || (inFlight && ready < full)) return 0;
    return Math.min(ready, full);
  }

  /** Grow after a call. `rate` is the throughput of the link in bytes a second, null while it is unknown. */
  grow(isHashing: boolean, rate: number | null): void {
    const ofLink = rate === null ? LARGEST : Math.max(FIRST, Math.floor((rate * BATCH_S) / this.chunkSizeBytes));
    this.size = Math.min(2 * this.size, isHashing ? LARGEST_WHILE_HASHING : LARGEST, ofLink);
  }
}
