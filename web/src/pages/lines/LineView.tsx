import type { Line } from "../../api/types.ts";
import { answerOf, beginning, failureOf, turnsOf } from "../../lib/answer.ts";
import { count, milliseconds } from "../../lib/format.ts";
import { type Fact, Facts } from "../../parts/Facts.tsx";
import { Notice } from "../../parts/Notice.tsx";
import { OutcomeBadge } from "../../parts/OutcomeBadge.tsx";
import classes from "./LineView.module.css";
import { Side } from "./Side.tsx";

/** The whole of it stands in the answer's JSON. */
const NOTICE_CHARS = 2_000;

/** What was asked and what came back, side by side. */
export function LineView({ line }: { line: Line }) {
  const turns = turnsOf(line.request);
  const answer = answerOf(line.result);
  const failure = line.outcome === "succeeded" ? null : failureOf(line.result);
  return (
    <div className={classes.line}>
      <Facts large facts={factsOf(line)} />
      {failure !== null && (
        <Notice tone="error">
          <b>{[line.status_code, line.error_code].filter(Boolean).join(" ")}</b> {beginning(failure, NOTICE_CHARS)}
        </Notice>
      )}
      {line.invalid_output && <Notice tone="warning">The answer breaks the JSON schema that the request asked for.</Notice>}
      {line.finish_reason === "length" && (
        <Notice tone="warning">The answer was cut off: it reached the request's bound of tokens.</Notice>
      )}
      <div className={classes.sides}>
        <Side title="Request" text={turns.map(({ role, text }) => `${role}: ${text}`).join("\n\n")} json={line.request}>
          {turns.map(({ role, text }, index) => (
            <div key={index} className={classes.turn}>
              <div className={classes.role}>{role}</div>
              {beginning(text)}
            </div>
          ))}
        </Side>
        <Side title="Answer" text={answer ?? ""} json={line.result}>
          {beginning(answer ?? "")}
        </Side>
      </div>
    </div>
  );
}

function factsOf(line: Line): Fact[] {
  const { usage } = line;
  const facts: (Fact | null)[] = [
    { name: "Outcome", value: <OutcomeBadge line={line} />, more: line.reused ? "kept from another batch" : null },
    { name: "Line of the file", value: count(line.line + 1) },
    line.finish_reason === null ? null : { name: "Finish reason", value: line.finish_reason },
    { name: "Latency", value: milliseconds(line.latency_ms) },
    { name: "Tries", value: count(line.attempts) },
    usage === null
      ? null
      : {
          name: "Input tokens",
          value: count(usage.input_tokens),
          more: usage.cached_tokens > 0 ? `${count(usage.cached_tokens)} cached` : null,
        },
    usage === null
      ? null
      : {
          name: "Output tokens",
          value: count(usage.output_tokens),
          more: usage.reasoning_tokens > 0 ? `${count(usage.reasoning_tokens)} reasoning` : null,
        },
    line.model === null ? null : { name: "Model", value: line.model, more: [line.provider, line.mode].filter(Boolean).join(", ") },
  ];
  return facts.filter((fact) => fact !== null);
}
