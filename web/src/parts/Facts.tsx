import type { ReactNode } from "react";
import classes from "./Facts.module.css";

export interface Fact {
  name: string;
  value: ReactNode;
  /** Said in small beside the value. */
  more?: ReactNode;
}

/** Names and values; `large` for the few that are read first. */
export function Facts({ facts, large }: { facts: Fact[]; large?: boolean }) {
  return (
    <dl className={classes.facts} data-large={large || undefined}>
      {facts.map(({ name, value, more }) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            {value}
            {more != null && <span className={classes.more}> {more}</span>}
          </dd>
        </div>
      ))}
    </dl>
  );
}
