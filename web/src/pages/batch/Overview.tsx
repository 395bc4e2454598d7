import { lazy, Suspense } from "react";
import type { Batch, Summary } from "../../api/types.ts";
import { isFinal } from "../../lib/counts.ts";
import { BatchFiles } from "./BatchFiles.tsx";
import { Details } from "./Details.tsx";
import { FileErrors } from "./FileErrors.tsx";
import { FirstAnswers } from "./FirstAnswers.tsx";
import { Lanes } from "./Lanes.tsx";
import { Outcomes } from "./Outcomes.tsx";
import classes from "./Overview.module.css";
import { etaFor, Progress } from "./Progress.tsx";
import { Spend } from "./Spend.tsx";
import { Timeline } from "./Timeline.tsx";
import { useSummary } from "./useSummary.ts";
import { Waiting } from "./Waiting.tsx";

// Asked for together with this part, not after its numbers have come.
const loading = import("./Charts.tsx");
const Charts = lazy(() => loading.then((part) => ({ default: part.Charts })));

/** First how it goes and why it may not, then the answers, then how it went over time, then what it is. */
export function Overview({ batch }: { batch: Batch }) {
  const { data: summary, isPending } = useSummary(batch);
  const refused = batch.errors?.data ?? [];
  return (
    <div className={classes.parts}>
      {refused.length > 0 ? <FileErrors errors={refused} /> : <Progress batch={batch} summary={summary} />}
      <Waiting batch={batch} />
      <FirstAnswers batch={batch} />
      {isPending ? <div className={classes.coming} /> : <Rest batch={batch} summary={summary} />}
    </div>
  );
}

/** What comes with the summary; until it is there, room is kept, so that nothing moves under a finger. */
function Rest({ batch, summary }: { batch: Batch; summary: Summary | null | undefined }) {
  const refused = batch.errors?.data ?? [];
  return (
    <>
      {summary && summary.lines > 0 && (
        <div className={classes.pair}>
          <Outcomes batchId={batch.id} summary={summary} />
        </div>
      )}
      {refused.length === 0 && (
        <Suspense fallback={<div className={classes.coming} />}>
          <Charts batch={batch} summary={summary} eta={etaFor(batch, summary)} />
        </Suspense>
      )}
      <Lanes lanes={batch.batchrouter?.lanes ?? []} final={isFinal(batch)} />
      <div className={classes.pair}>
        <div className={classes.parts}>
          <Timeline batch={batch} />
          {refused.length === 0 && <Spend batch={batch} />}
        </div>
        <div className={classes.parts}>
          <BatchFiles batch={batch} />
          <Details batch={batch} />
        </div>
      </div>
    </>
  );
}
