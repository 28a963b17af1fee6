// Texts of the room uploads.

export const uploads = {} as const;
