// Texts of the room storage.

export const storage = {} as const;
