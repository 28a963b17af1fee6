// Texts of the room live.

export const live = {} as const;
