// Questions about taken names, one at a time, that `ConflictDialog` shows.

import { useSyncExternalStore } from "react";

export type ConflictChoice = "replace" | "rename" | "skip";

export interface ConflictAnswer {
  choice: ConflictChoice;
  isForAll: boolean;
}

export interface ConflictQuestion {
  name: string;
  /** How many names are taken; null while more may follow. */
  count: number | null;
  answer: (answer: ConflictAnswer) => void;
}

const listeners = new Set<() => void>();
let waiting: readonly ConflictQuestion[] = [];

export function askConflict(question: Omit<ConflictQuestion, "answer">): Promise<ConflictAnswer> {
  return new Promise((resolve) => {
    const asked: ConflictQuestion = {
      ...question,
      answer: (answer) => {
        publish(waiting.filter((other) => other !== asked));
        resolve(answer);
      },
    };
    publish([...waiting, asked]);
  });
}

export function useConflictQuestion(): ConflictQuestion | null {
  return useSyncExternalStore(subscribe, () => waiting[0] ?? null);
}

function publish(next: readonly ConflictQuestion[]): void {
  waiting = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
