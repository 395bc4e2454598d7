import { useQuery } from "@tanstack/react-query";
import type { Batch } from "../../api/types.ts";
import { useApi } from "../../app/useApi.ts";
import { duration } from "../../lib/format.ts";
import { type Moment, momentsOf, withEvents } from "../../lib/moments.ts";
import { clock } from "../../lib/words.ts";
import { Panel } from "../../parts/Panel.tsx";
import classes from "./Timeline.module.css";

/** The states that the batch went through, with the time between them. */
export function Timeline({ batch }: { batch: Batch }) {
  const api = useApi();
  const { data: events } = useQuery({
    queryKey: ["events", api.tenant, batch.id, batch.status, batch.batchrouter?.paused_at ?? null],
    queryFn: ({ signal }) => api.events(batch.id, signal),
    placeholderData: (old) => old,
    retry: false, // the batch's own times will do
  });
  const moments: Moment[] = events ? withEvents(batch, events.data) : momentsOf(batch);
  return (
    <Panel title="Timeline">
      <ol className={classes.moments}>
        {moments.map(({ at, words, tone }, index) => (
          <li key={`${at} ${words}`} data-tone={tone}>
            <span>{words}</span>
            <time dateTime={new Date(at * 1_000).toISOString()}>{clock(at)}</time>
            <span className={classes.gap}>{index > 0 ? `+${duration(at - moments[index - 1]!.at)}` : ""}</span>
          </li>
        ))}
      </ol>
    </Panel>
  );
}
