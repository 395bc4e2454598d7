import { type ReactNode, useEffect } from "react";
import classes from "./PageTitle.module.css";

/** The heading of a page, and what can be done there beside it. */
export function PageTitle({ title, children }: { title: string; children?: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · BatchRouter`;
  }, [title]);
  return (
    <div className={classes.head}>
      <h1 className={classes.title} title={title}>{title}</h1>
      {children && <div className={classes.side}>{children}</div>}
    </div>
  );
}
