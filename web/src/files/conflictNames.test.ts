// Names of conflict copies, against the vectors that Python shares.

import { expect, test } from "vitest";
import vectors from "../../../tests/vectors/conflict_names.json" with { type: "json" };
import { parseConflictName } from "./conflictNames.ts";

test("names of conflict copies say what the shared vectors say", () => {
  for (const { name, copy } of vectors.names) expect(parseConflictName(name), name).toEqual(copy);
});
