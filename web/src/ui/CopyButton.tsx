// Copy a text in one click, and say that it is copied.

import { Button, type ButtonProps } from "@mantine/core";
import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { copyText } from "../lib/clipboard.ts";
import { t } from "../lib/i18n.ts";
import { notifyError } from "../lib/notify.tsx";

const SHOWN_MS = 3000;

interface CopyButtonProps extends ButtonProps {
  text: string;
  /** The name of the button: "Copy link". */
  label: string;
}

export function CopyButton({ text, label, ...rest }: CopyButtonProps) {
  const [isCopied, setIsCopied] = useState(false);
  useEffect(() => {
    const timer = isCopied ? setTimeout(() => setIsCopied(false), SHOWN_MS) : undefined;
    return () => clearTimeout(timer);
  }, [isCopied]);
  const copy = () => copyText(text).then(() => setIsCopied(true), notifyError);
  return (
    <Button
      variant="default"
      leftSection={isCopied ? <Check size={16} aria-hidden /> : <Copy size={16} aria-hidden />}
      onClick={() => void copy()}
      {...rest}
    >
      <span aria-live="polite">{isCopied ? t("copied") : label}</span>
    </Button>
  );
}
