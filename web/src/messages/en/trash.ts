// Texts of the room trash.

export const trash = {} as const;
