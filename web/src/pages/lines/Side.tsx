import { SegmentedControl } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { CopyButton } from "../../parts/CopyButton.tsx";
import classes from "./Side.module.css";

interface Props {
  title: string;
  /** What copying the text gives; empty where there is none that people can read. */
  text: string;
  json: unknown;
  children: ReactNode;
}

/** The request or the answer: as text where it has one, and as it stands in the file. */
export function Side({ title, text, json, children }: Props) {
  const [as, setAs] = useState("text");
  const raw = json == null ? "" : JSON.stringify(json, null, 2);
  const shown = text === "" || as === "json" ? "json" : "text";
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
          {raw || "–"}
        </pre>
      ) : (
        <div className={classes.body} tabIndex={0}>
          {children}
        </div>
      )}
    </section>
  );
}
