// Texts of the room live.

export const live = {
  "live.unreachable.title": "The server does not answer",
  "live.unreachable.text": "Trying again. The page goes on by itself.",
} as const;
