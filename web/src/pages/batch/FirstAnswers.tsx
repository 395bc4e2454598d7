import { useQuery } from "@tanstack/react-query";
import { isUnsupported } from "../../api/client.ts";
import type { Batch } from "../../api/types.ts";
import { useApi } from "../../app/useApi.ts";
import { useLink } from "../../app/useRoute.ts";
import { answerOf, beginning } from "../../lib/answer.ts";
import { isFinal } from "../../lib/counts.ts";
import { Panel } from "../../parts/Panel.tsx";
import classes from "./FirstAnswers.module.css";

const SHOWN = 10;
const SHOWN_CHARS = 400;
const POLL_MS = 2_000;

/** What everybody looks at first: are the answers what was wanted? As soon as there are some; failures are told in
 * groups, further down. */
export function FirstAnswers({ batch }: { batch: Batch }) {
  const api = useApi();
  const link = useLink();
  const started = batch.request_counts.completed > 0;
  const { data } = useQuery({
    queryKey: ["first", api.tenant, batch.id],
    queryFn: async ({ signal }) => {
      try {
        return (await api.lines(batch.id, { outcome: "succeeded,invalid_output", order: "completion", limit: SHOWN }, signal)).data;
      } catch (error) {
        if (isUnsupported(error)) return null;
        throw error;
      }
    },
    enabled: started,
    staleTime: ({ state }) => ((state.data?.length ?? 0) >= SHOWN ? Infinity : 0),
    refetchInterval: ({ state }) =>
      isFinal(batch) || state.data === null || (state.data?.length ?? 0) >= SHOWN ? false : POLL_MS,
  });
  if (!started || data === null) return null;
  const all = <a href={link(["batches", batch.id, "lines"])}>All lines</a>;
  return (
    <Panel title="First answers" side={all}>
      <ul className={classes.answers}>
        {data === undefined && placeholders(batch)}
        {data?.map((line) => {
          return (
            <li key={line.line}>
              <a href={link(["batches", batch.id, "lines"], { line: String(line.line) })} className="mono cut">
                {line.custom_id}
              </a>
              <span className="cut">{beginning(answerOf(line.result) ?? "–", SHOWN_CHARS)}</span>
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}

/** As many rows as there will be, so that what is below does not move. */
function placeholders({ request_counts: { completed } }: Batch) {
  const rows = Math.min(SHOWN, completed);
  return Array.from({ length: rows }, (_, index) => <li key={index}>&nbsp;</li>);
}
