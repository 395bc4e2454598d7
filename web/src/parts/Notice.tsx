import type { ReactNode } from "react";
import { Icon } from "./Icon.tsx";
import classes from "./Notice.module.css";

export type NoticeTone = "info" | "warning" | "error" | "good";

const ICONS = { info: "info", warning: "warning", error: "warning", good: "check" } as const;

/** Something to know, in the place that it is about. */
export function Notice({ tone = "info", children }: { tone?: NoticeTone; children: ReactNode }) {
  return (
    <div className={classes.notice} data-tone={tone} role={tone === "error" ? "alert" : "note"}>
      <Icon name={ICONS[tone]} />
      <div className={classes.body}>{children}</div>
    </div>
  );
}
