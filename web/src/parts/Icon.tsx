/** Signs, drawn on a grid of 24. They stand beside words or in buttons that have a label, so they are hidden. */

const PATHS = {
  batches: "M4 6h16M4 12h16M4 18h10",
  lines: "M4 5h16v14H4zM4 10h16M4 14.5h16M10 10v9",
  file: "M7 3h7l5 5v13H7zM14 3v5h5",
  providers: "M5 4h14v6H5zM5 14h14v6H5zM8.5 7h.01M8.5 17h.01",
  keys: "M8.5 15.5m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0M11.5 12.5L20 4M16 8l3 3",
  plus: "M12 5v14M5 12h14",
  sun: "M12 12m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6l1.4 1.4M17 17l1.4 1.4M5.6 18.4L7 17M17 7l1.4-1.4",
  moon: "M19 14.5A7.5 7.5 0 0 1 9.5 5 7.5 7.5 0 1 0 19 14.5z",
  auto: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  pause: "M8 5v14M16 5v14",
  play: "M8 5l11 7-11 7z",
  stop: "M6 6h12v12H6z",
  retry: "M19 12a7 7 0 1 1-2.1-5M19 4v4h-4",
  download: "M12 4v11M7.5 10.5L12 15l4.5-4.5M5 20h14",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M5 12.5l4.5 4.5L19 7.5",
  search: "M10.5 10.5m-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0M15 15l5 5",
  close: "M6 6l12 12M18 6L6 18",
  left: "M14.5 6l-6 6 6 6",
  right: "M9.5 6l6 6-6 6",
  filter: "M4 6h16M7 12h10M10 18h4",
  warning: "M12 4l9 16H3zM12 10v4.5M12 17.2h.01",
  info: "M12 12m-9 0a9 9 0 1 0 18 0a9 9 0 1 0-18 0M12 11v5M12 8h.01",
  clock: "M12 12m-9 0a9 9 0 1 0 18 0a9 9 0 1 0-18 0M12 7v5l3.5 2",
  user: "M12 8m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0M4.5 20c1-4 4-5.5 7.5-5.5s6.500 1.500 7.500 5.500",
  out: "M14 4H5v16h9M10 12h11M17.500 8.500L21 12l-3.500 3.500",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth={1.8}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden
      style={{ flex: "none" }}
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
