import { Skeleton } from "@mantine/core";
import { useElementSize, useIntersection } from "@mantine/hooks";
import type { RemoteFile } from "dropbox-api-client";
import type { PDFDocumentProxy, PDFPageProxy } from "pdfjs-dist";
import { useEffect, useRef, useState } from "react";
import { t } from "../lib/i18n.ts";
import { NoPreview } from "./NoPreview.tsx";
import { openPdf, TextLayer } from "./pdf.ts";
import classes from "./preview.module.css";

const WIDEST_PX = 860;
/** Sharper canvases need too much memory on phones. */
const DENSEST = 2;

export default function PdfViewer({ file }: { file: RemoteFile }) {
  const [pdf, setPdf] = useState<PDFDocumentProxy | null>(null);
  const [first, setFirst] = useState<PDFPageProxy | null>(null);
  const [isBroken, setBroken] = useState(false);
  const { ref, width } = useElementSize();
  useEffect(() => {
    const opened = openPdf(file);
    opened.document.then(
      async (document) => {
        setFirst(await document.getPage(1));
        setPdf(document);
      },
      () => setBroken(true),
    );
    return () => opened.close();
  }, [file]);
  if (isBroken) return <NoPreview file={file} text={t("preview.pdfBroken")} />;
  const pageWidth = Math.min(width, WIDEST_PX);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a part that scrolls needs the focus for the keyboard.
    <section className={classes.pdf} tabIndex={0} aria-label={file.name}>
      <div ref={ref} className={classes.pages}>
        {pdf && first && width > 0 ? (
          Array.from({ length: pdf.numPages }, (_, index) => (
            <Page key={index} pdf={pdf} number={index + 1} width={pageWidth} guess={first} />
          ))
        ) : (
          <Skeleton height={600} />
        )}
      </div>
    </section>
  );
}

interface PageProps {
  pdf: PDFDocumentProxy;
  number: number;
  width: number;
  /** Pages that are not read yet are as high as this one. */
  guess: PDFPageProxy;
}

function Page({ pdf, number, width, guess }: PageProps) {
  const { ref, entry } = useIntersection({ rootMargin: "100%" });
  const isNear = entry?.isIntersecting ?? false;
  const [page, setPage] = useState(guess);
  const canvas = useRef<HTMLCanvasElement>(null);
  const text = useRef<HTMLDivElement>(null);
  const scale = width / page.getViewport({ scale: 1 }).width;
  const { height } = page.getViewport({ scale });
  useEffect(() => {
    if (!isNear) return;
    let isOver = false;
    let cancel = () => {};
    const show = async () => {
      const read = await pdf.getPage(number);
      if (isOver || !canvas.current || !text.current) return;
      setPage(read);
      const viewport = read.getViewport({ scale: width / read.getViewport({ scale: 1 }).width });
      const density = Math.min(devicePixelRatio, DENSEST);
      canvas.current.width = viewport.width * density;
      canvas.current.height = viewport.height * density;
      const drawn = read.render({
        canvas: canvas.current,
        viewport,
        transform: [density, 0, 0, density, 0, 0],
      });
      text.current.replaceChildren();
      const layer = new TextLayer({ textContentSource: read.streamTextContent(), container: text.current, viewport });
      cancel = () => {
        drawn.cancel();
        layer.cancel();
      };
      await Promise.all([drawn.promise, layer.render()]);
    };
    show().catch(() => undefined); // it was cancelled, or the rest of the document is still readable
    return () => {
      isOver = true;
      cancel();
    };
  }, [isNear, number, pdf, width]);
  return (
    <section
      ref={ref}
      className={classes.page}
      dir="ltr"
      aria-label={t("preview.page", { number, count: pdf.numPages })}
      style={{ width, height, "--total-scale-factor": scale } as React.CSSProperties}
    >
      {isNear && <canvas ref={canvas} className={classes.canvas} aria-hidden />}
      <div ref={text} className={classes.textLayer} />
    </section>
  );
}
