import type { ReactNode } from "react";
import classes from "./Empty.module.css";

/** In the place of a list that has nothing: what would be here, and how it gets there. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className={classes.empty}>
      <p className={classes.title}>{title}</p>
      {children}
    </div>
  );
}
