import { SegmentedControl } from "@mantine/core";
import { type ReactNode, useMemo, useState } from "react";
import { beginning, READ_CHARS } from "../../lib/answer.ts";
import { count } from "../../lib/format.ts";
import { CopyButton } from "../../parts/CopyButton.tsx";
import classes from "./Side.module.css";

interface Props {
  title: string;
  /** What copying the text gives; empty where there is none that people can read. */
  text: string;
  json: unknown;
  children: ReactNode;
}

/** The request or the answer: as text where it has one, and as it stands in the file. Of a very long one the beginning. */
export function Side({ title, text, json, children }: Props) {
  const [as, setAs] = useState("text");
  const raw = useMemo(() => (json == null ? "" : JSON.stringify(json, null, 2)), [json]);
  const shown = text === "" || as === "json" ? "json" : "text";
  const size = shown === "json" ? raw.length : text.length;
  return (
    <section className={classes.side} aria-label={title}>
      <div className={classes.head}>
        <h3 className={classes.title}>{title}</h3>
        {text !== "" && raw !== "" && (
          <SegmentedControl
            size="xs"
            aria-label={`${title} as`}
            value={shown}
            onChange={setAs}
            data={[
              { value: "text", label: "Text" },
              { value: "json", label: "JSON" },
            ]}
          />
        )}
        <CopyButton text={shown === "json" ? raw : text} of={title.toLowerCase()} />
      </div>
      {shown === "json" ? (
        <pre className={`mono ${classes.body}`} tabIndex={0}>
          {beginning(raw) || "–"}
        </pre>
      ) : (
        <div className={classes.body} tabIndex={0}>
          {children}
        </div>
      )}
      {size > READ_CHARS && (
        <p className={classes.cut}>
          Only the beginning of {count(size)} characters is shown. <i>Copy</i> takes all of them.
        </p>
      )}
    </section>
  );
}
