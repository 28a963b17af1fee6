// The mark of the app: a folder with an arrow up. `public/assets/icons/icon.svg` is the same.

export function Logo({ size = 32 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 64 64" aria-hidden="true" focusable="false">
      <rect width="64" height="64" rx="15" fill="#2354e0" />
      <path
        d="M13 21a5 5 0 0 1 5-5h9.2a5 5 0 0 1 3.9 1.9l2.5 3.1H46a5 5 0 0 1 5 5v17a5 5 0 0 1-5 5H18a5 5 0 0 1-5-5z"
        fill="#fff"
      />
      <path
        d="M32 41V30m-5.5 5L32 29.5l5.5 5.5"
        stroke="#2354e0"
        strokeWidth="3.5"
        fill="none"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}
