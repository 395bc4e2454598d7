import type { Batch } from "../../api/types.ts";
import { useNow } from "../../app/useNow.ts";
import { isFinal } from "../../lib/counts.ts";
import { plural } from "../../lib/format.ts";
import { clock, laneWait, modeWords } from "../../lib/words.ts";
import { Notice } from "../../parts/Notice.tsx";
import { isPaused } from "../../parts/StateBadge.tsx";
import classes from "./Waiting.module.css";

/** Why a batch does not go on, and until when, in words. Nothing where it goes on. */
export function Waiting({ batch }: { batch: Batch }) {
  const now = useNow();
  if (isFinal(batch)) return null;
  const lanes = (batch.batchrouter?.lanes ?? []).filter((lane) => lane.waiting + lane.in_flight + lane.retrying > 0);
  const paused = isPaused(batch);
  return (
    <div className={classes.reasons} aria-live="polite">
      {paused && (
        <Notice tone="warning">
          Paused since {clock(batch.batchrouter.paused_at ?? now, now)}. Nothing is sent until it is resumed. The deadline
          does not move.
        </Notice>
      )}
      {!paused &&
        lanes.map((lane) => {
          const why = laneWait(lane, now);
          if (why === null) return null;
          return (
            <Notice key={`${lane.provider} ${lane.model} ${lane.mode}`} tone="warning">
              <b>
                {plural(lane.waiting + lane.retrying, "line")} for {lane.model}
              </b>{" "}
              at {lane.provider} {lane.waiting + lane.retrying === 1 ? "waits" : "wait"} ({modeWords(lane.mode)}): {why}.
            </Notice>
          );
        })}
    </div>
  );
}
