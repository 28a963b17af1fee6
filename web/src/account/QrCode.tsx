// A QR code, made in the page: no other server sees what it says.

import { encode } from "uqr";

interface QrCodeProps {
  text: string;
  /** What it is for. */
  label: string;
  size?: number;
}

const QUIET = 2;

export function QrCode({ text, label, size = 192 }: QrCodeProps) {
  const { data } = encode(text, { border: QUIET });
  const path = data.flatMap((row, y) => row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  return (
    <svg
      role="img"
      aria-label={label}
      width={size}
      height={size}
      viewBox={`0 0 ${data.length} ${data.length}`}
      shapeRendering="crispEdges"
    >
      <rect width="100%" height="100%" fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  );
}
