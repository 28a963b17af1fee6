import { useQuery } from "@tanstack/react-query";
import type { RemoteFile } from "dropbox-api-client";
import { Fragment } from "react";
import { keys } from "../lib/keys.ts";
import { highlight } from "./highlight.ts";
import classes from "./preview.module.css";
import { TextFrame } from "./TextViewer.tsx";
import { findLanguage } from "./viewers.ts";

/** Longer code would keep the page busy. */
const COLOURED = 100_000;

export default function CodeViewer({ file }: { file: RemoteFile }) {
  return <TextFrame file={file}>{({ text }) => <Code file={file} text={text} />}</TextFrame>;
}

function Code({ file, text }: { file: RemoteFile; text: string }) {
  const language = findLanguage(file.name);
  const { data } = useQuery({
    queryKey: [...keys.preview(file.revision_id ?? file.id), "tokens"],
    queryFn: () => highlight(text, language ?? ""),
    enabled: language !== null && text.length <= COLOURED,
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <pre className={classes.code}>
      {data
        ? data.map((line, index) => (
            <Fragment key={index}>
              {line.map(({ text, kind }, place) => (
                <span key={place} className={classes[`token-${kind}`]}>
                  {text}
                </span>
              ))}
              {"\n"}
            </Fragment>
          ))
        : text}
    </pre>
  );
}
