import { useMutation } from "@tanstack/react-query";
import { ApiProblem, type RemoteFile } from "dropbox-api-client";
import { t } from "../lib/i18n.ts";
import { notifyDone, notifyError } from "../lib/notify.tsx";
import { saveCopy } from "./queries.ts";

/** Copy a file or folder of another owner to the caller's files, and say how it ends. */
export function useSaveCopy({ id, name }: RemoteFile): { isCopying: boolean; copy: () => void } {
  const { isPending, mutate } = useMutation({
    mutationFn: () => saveCopy(id),
    onMutate: () => notifyDone(t("sharing.copyRunning", { name })),
    onError: (error) => notifyError(error),
    onSuccess: (copy) => {
      if (copy.problem) notifyError(new ApiProblem(copy.problem, copy.problem.status, null));
      else if (copy.left_out > 0) notifyDone(t("sharing.copyLeftOut", { count: copy.left_out }));
      else notifyDone(t("sharing.copyDone", { name: copy.name }));
    },
  });
  return { isCopying: isPending, copy: () => mutate() };
}
