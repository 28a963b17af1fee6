// Texts of the room sharing.

export const sharing = {} as const;
