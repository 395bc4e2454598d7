import type { KeyboardEvent } from "react";

const STEPS: Record<string, number> = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 };

/** Arrows (or j and k) move the focus between rows that have `data-index` and a link. For `onKeyDown` around them. */
export function stepRows(event: KeyboardEvent<HTMLElement>) {
  const by = STEPS[event.key];
  const row = (event.target as HTMLElement).closest<HTMLElement>("[data-index]");
  if (by === undefined || row === null || event.ctrlKey || event.metaKey || event.altKey) return;
  const next = event.currentTarget.querySelector<HTMLElement>(`[data-index="${Number(row.dataset.index) + by}"]`);
  const link = next?.querySelector<HTMLElement>("a");
  if (!next || !link) return;
  event.preventDefault();
  link.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}
