// Texts of the room preview.

export const preview = {} as const;
