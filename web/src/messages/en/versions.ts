// Texts of the room versions.

export const versions = {} as const;
