// The error of a form, above its button.

import { Alert } from "@mantine/core";
import { TriangleAlert } from "lucide-react";
import { describeError, NotConfirmed } from "../lib/problems.ts";

/** Show an error as a sentence; nothing for none. */
export function FormError({ error }: { error: unknown }) {
  if (error === null || error === undefined || error instanceof NotConfirmed) return null;
  return (
    <Alert color="red" variant="light" role="alert" icon={<TriangleAlert size={18} aria-hidden />}>
      {typeof error === "string" ? error : describeError(error)}
    </Alert>
  );
}
