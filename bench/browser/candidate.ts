// What each page offers to `measure.ts`, as `window.candidate`.

export interface Candidate {
  ready: Promise<unknown>;
  /** Upload what was dropped on the page, to the end. */
  send(transfer: DataTransfer): Promise<void>;
  /** Take files and begin to send them. */
  queue?(files: readonly File[]): Promise<void>;
}

declare global {
  interface Window {
    candidate?: Candidate;
  }
}

/** Options of a page come in the fragment of its address. */
export function readOptions(): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}
