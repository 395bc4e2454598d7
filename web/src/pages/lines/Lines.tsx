import { Button, Skeleton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useEffect, useMemo } from "react";
import { isUnsupported } from "../../api/client.ts";
import type { Batch } from "../../api/types.ts";
import { useRoute } from "../../app/useRoute.ts";
import { isFinal } from "../../lib/counts.ts";
import { count } from "../../lib/format.ts";
import { whereOf } from "../../lib/retry.ts";
import { Empty } from "../../parts/Empty.tsx";
import { ErrorNotice } from "../../parts/ErrorNotice.tsx";
import { Icon } from "../../parts/Icon.tsx";
import { Notice } from "../../parts/Notice.tsx";
import { RetryDialog } from "../batch/RetryDialog.tsx";
import { isNarrowed, lineQuery } from "./filters.ts";
import { LineDrawer } from "./LineDrawer.tsx";
import { LineFilterBar } from "./LineFilterBar.tsx";
import classes from "./Lines.module.css";
import { LineTable } from "./LineTable.tsx";
import { useLines } from "./useLines.ts";

/** Every line of a batch, found by the server. */
export function Lines({ batch }: { batch: Batch }) {
  const { query: address } = useRoute();
  const running = !isFinal(batch);
  const query = useMemo(() => lineQuery(address, running), [address, running]);
  const { rows, more, next, error, fetchMore, refresh } = useLines(batch, query);
  // A page may hold nothing though there is more to look through: the server looks for a bounded time.
  useEffect(() => {
    if (more && next !== null && rows.length === 0 && error === null) void fetchMore();
  }, [more, next, rows.length, error, fetchMore]);
  const [retrying, retry] = useDisclosure(false);
  const where = whereOf(address);
  const order = useMemo(() => rows.map((row) => row.line), [rows]);
  const chosen = Number(address.get("line") ?? Number.NaN);
  if (isUnsupported(error)) {
    return <Notice>This server does not show single lines. Download the batch's files to see them.</Notice>;
  }
  return (
    <>
      <LineFilterBar order={query.order} />
      <div className={classes.bar}>
        <span className="dim num" aria-live="polite">
          {rows.length > 0 && `${count(rows.length)}${more ? " and more" : ""} ${isNarrowed(address) ? "match" : "lines"}`}
        </span>
        <div className={classes.buttons}>
          {Object.keys(where).length > 0 && !running && (
            <Button size="compact-sm" variant="default" leftSection={<Icon name="retry" size={14} />} onClick={retry.open}>
              Retry all that match
            </Button>
          )}
          {running && query.order === "input" && (
            <Button size="compact-sm" variant="default" onClick={refresh}>
              Look again
            </Button>
          )}
        </div>
      </div>
      {error != null && <ErrorNotice error={error} again={() => void fetchMore()} />}
      {rows.length > 0 ? (
        <LineTable rows={rows} more={more} onEnd={fetchMore} />
      ) : more ? (
        error == null && <Skeleton height={200} />
      ) : (
        <Empty title={isNarrowed(address) ? "No line matches" : "No line has ended yet"} />
      )}
      <LineDrawer batchId={batch.id} line={Number.isInteger(chosen) ? chosen : null} order={order} />
      {retrying && <RetryDialog batch={batch} filter={where} onClose={retry.close} />}
    </>
  );
}
