// What cannot be shown: why, what to do, and a button that tries again.

import { Button } from "@mantine/core";
import { CloudOff, TriangleAlert } from "lucide-react";
import { t } from "../lib/i18n.ts";
import { describeError } from "../lib/problems.ts";
import { EmptyState } from "./EmptyState.tsx";

interface ErrorStateProps {
  error: unknown;
  /** What could not be done; without it, "This could not be shown". */
  title?: string;
  onRetry?: () => unknown;
}

export function ErrorState({ error, title, onRetry }: ErrorStateProps) {
  return (
    <div role="alert">
      <EmptyState
        icon={navigator.onLine ? TriangleAlert : CloudOff}
        title={title ?? t("error.title")}
        text={describeError(error)}
        action={
          onRetry && (
            <Button variant="default" onClick={() => onRetry()}>
              {t("error.retry")}
            </Button>
          )
        }
      />
    </div>
  );
}
