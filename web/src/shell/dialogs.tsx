// Dialogs by search parameter (`?share=ID`): deep links to them work, and Back closes them.

import { useCallback } from "react";
import { useLocation, useNavigate, useSearchParams } from "react-router";
import { type DialogProps, rooms } from "../room.ts";

const dialogs = Object.entries(
  Object.assign({}, ...rooms.map((room) => room.dialogs)) as Record<string, React.ComponentType<DialogProps>>,
);

/** The state of a history entry that `useOpenDialog` made: Back closes the dialog and stays in the app. */
interface DialogState {
  openedHere?: boolean;
}

/** Return a function that opens a dialog over the current page: `open("share", file.id)`. */
export function useOpenDialog(): (name: string, value: string) => void {
  const navigate = useNavigate();
  const { pathname, search } = useLocation();
  return useCallback(
    (name, value) => {
      const parameters = new URLSearchParams(search);
      for (const [other] of dialogs) parameters.delete(other);
      parameters.set(name, value);
      const state: DialogState = { openedHere: true };
      navigate(`${pathname}?${parameters}`, { state, preventScrollReset: true });
    },
    [navigate, pathname, search],
  );
}

export function Dialogs() {
  const [parameters] = useSearchParams();
  const { pathname, state } = useLocation();
  const navigate = useNavigate();
  const found = dialogs.find(([name]) => parameters.has(name));
  if (found === undefined) return null;
  const [name, Dialog] = found;
  const close = () => {
    if ((state as DialogState | null)?.openedHere) {
      navigate(-1);
      return;
    }
    const rest = new URLSearchParams(parameters);
    rest.delete(name);
    navigate({ pathname, search: rest.toString() }, { replace: true });
  };
  return <Dialog value={parameters.get(name) ?? ""} onClose={close} />;
}
