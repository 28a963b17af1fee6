// The rate and the remaining time of all uploads, as an exponentially weighted average over bytes and over files. Pure.
//
// Many small files are limited by requests, not by bytes: the estimate takes the longer of the two.

const HALF_LIFE_S = 5;
const LEAST_INTERVAL_S = 0.25;

export class Pace {
  private bytesPerS: number | null = null;
  private filesPerS: number | null = null;
  private last: { at: number; bytes: number; files: number; total: number } | null = null;

  /** Record how many bytes and files of a number of files are sent, at a time in seconds. */
  record(at: number, bytes: number, files: number, total: number): void {
    // What comes and goes with a file, such as one that another tab has half sent, is no progress.
    if (!this.last || bytes < this.last.bytes || files < this.last.files || total !== this.last.total) {
      this.last = { at, bytes, files, total };
      return;
    }
    const elapsed = at - this.last.at;
    if (elapsed < LEAST_INTERVAL_S) return;
    const weight = 1 - 0.5 ** (elapsed / HALF_LIFE_S);
    const blend = (before: number | null, now: number) => (before === null ? now : before + weight * (now - before));
    this.bytesPerS = blend(this.bytesPerS, (bytes - this.last.bytes) / elapsed);
    this.filesPerS = blend(this.filesPerS, (files - this.last.files) / elapsed);
    this.last = { at, bytes, files, total };
  }

  /** Forget the rates after a pause. */
  reset(): void {
    this.bytesPerS = this.filesPerS = this.last = null;
  }

  get rate(): number | null {
    return this.bytesPerS;
  }

  /** Return the seconds that the rest takes, null while that is unknown. */
  estimateS(bytesLeft: number, filesLeft: number): number | null {
    if (!this.bytesPerS && !this.filesPerS) return null;
    const byBytes = this.bytesPerS ? bytesLeft / this.bytesPerS : 0;
    // A file takes its share of requests; one large file says nothing about that.
    const byFiles = this.filesPerS && filesLeft > 1 && this.filesPerS > 1 ? filesLeft / this.filesPerS : 0;
    return Math.max(byBytes, byFiles);
  }
}
