// Whether the browser has a network, and pauses that end when it comes back.

export class Connectivity {
  private readonly wakers = new Set<() => void>();

  constructor(private online = true) {}

  get isOnline(): boolean {
    return this.online;
  }

  setOnline(online: boolean): void {
    this.online = online;
    if (online) for (const wake of [...this.wakers]) wake();
  }

  /** Wait for a time; the network's return ends the wait. Throws the signal's reason. */
  pause(durationMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const end = (finish: () => void) => {
        clearTimeout(timer);
        this.wakers.delete(wake);
        signal.removeEventListener("abort", abort);
        finish();
      };
      const wake = () => end(resolve);
      const abort = () => end(() => reject(signal.reason));
      const timer = setTimeout(wake, durationMs);
      this.wakers.add(wake);
      signal.addEventListener("abort", abort, { once: true });
    });
  }
}
