// The number of parts in flight: additive increase, multiplicative decrease, between 2 and 6.
//
// The limit grows by one while that raises the throughput, and halves when the store refuses work. Browsers open at most
// six connections to a host over HTTP/1.1.

export const MIN_LANES = 2;
export const START_LANES = 4;
export const MAX_LANES = 6;
const FASTER = 1.05;
const SLOWER = 0.8;
/** Factor by which the best rate decays per window, so that the limit adapts to a link that became slower. */
const DECAY = 0.99;
/** Refusals closer together than this have one cause and count once. */
const REFUSAL_INTERVAL_MS = 1000;

export class Lanes {
  limit = START_LANES;
  /** The throughput of the last complete window, in bytes a second; null before the first. */
  rate: number | null = null;
  private inUse = 0;
  private readonly waiting: (() => void)[] = [];
  private best = 0;
  private didGrow = false;
  private refusedAt = Number.NEGATIVE_INFINITY;
  private window = { start: 0, bytes: 0, parts: 0 };

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Wait for one of `limit` lanes; return the function that frees it. Throws the signal's reason. */
  async acquire(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.inUse >= this.limit) await this.waitForFree(signal);
    if (this.inUse === 0) this.openWindow(); // after an idle time, which must not count as a slow link
    this.inUse += 1;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.inUse -= 1;
      this.wake();
    };
  }

  /** Count a stored part; every window of 2 * limit parts adjusts the limit. */
  recordPart(sizeBytes: number): void {
    this.window.bytes += sizeBytes;
    this.window.parts += 1;
    if (this.window.parts >= 2 * this.limit) this.endWindow();
  }

  /** Halve the limit after the store or the network refused a part. */
  recordRefusal(): void {
    const now = this.now();
    if (now - this.refusedAt >= REFUSAL_INTERVAL_MS) {
      this.limit = Math.max(MIN_LANES, Math.floor(this.limit / 2));
      this.best = 0;
      this.didGrow = false;
      this.openWindow();
    }
    this.refusedAt = now;
  }

  private async waitForFree(signal: AbortSignal): Promise<void> {
    while (this.inUse >= this.limit) {
      await new Promise<void>((resolve, reject) => {
        const wake = () => {
          signal.removeEventListener("abort", abort);
          resolve();
        };
        const abort = () => {
          this.waiting.splice(this.waiting.indexOf(wake), 1);
          reject(signal.reason);
        };
        signal.addEventListener("abort", abort, { once: true });
        this.waiting.push(wake);
      });
      if (signal.aborted) {
        this.wake(); // the lane goes to the next one
        throw signal.reason;
      }
    }
  }

  private wake(): void {
    for (let free = this.limit - this.inUse; free > 0; free--) this.waiting.shift()?.();
  }

  private openWindow(): void {
    this.window = { start: this.now(), bytes: 0, parts: 0 };
  }

  private endWindow(): void {
    const rate = (this.window.bytes * 1000) / Math.max(this.now() - this.window.start, 1);
    this.rate = rate;
    if (rate > this.best * FASTER) {
      this.best = rate;
      this.didGrow = this.limit < MAX_LANES;
      this.limit = Math.min(MAX_LANES, this.limit + 1);
    } else if (this.didGrow || rate < this.best * SLOWER) {
      this.didGrow = false;
      this.limit = Math.max(MIN_LANES, this.limit - 1); // the last increase brought nothing
    }
    this.best *= DECAY;
    this.openWindow();
    this.wake();
  }
}
