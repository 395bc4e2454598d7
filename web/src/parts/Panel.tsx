import type { ReactNode } from "react";
import classes from "./Panel.module.css";

/** A part of a page, with its heading. */
export function Panel({ title, side, children }: { title: string; side?: ReactNode; children: ReactNode }) {
  return (
    <section className={`panel ${classes.panel}`} aria-label={title}>
      <div className={classes.head}>
        <h2 className={classes.title}>{title}</h2>
        {side}
      </div>
      {children}
    </section>
  );
}
