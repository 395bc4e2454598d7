import { Skeleton } from "@mantine/core";
import { ApiError } from "../api/client.ts";
import { useLink } from "../app/useRoute.ts";
import { nameOf } from "../lib/words.ts";
import { CopyButton } from "../parts/CopyButton.tsx";
import { Empty } from "../parts/Empty.tsx";
import { ErrorNotice } from "../parts/ErrorNotice.tsx";
import { PageTitle } from "../parts/PageTitle.tsx";
import { StateBadge } from "../parts/StateBadge.tsx";
import { Tabs } from "../parts/Tabs.tsx";
import { Actions } from "./batch/Actions.tsx";
import { Overview } from "./batch/Overview.tsx";
import { useBatch } from "./batch/useBatch.ts";
import classes from "./BatchPage.module.css";
import { Lines } from "./lines/Lines.tsx";

export function BatchPage({ id, part }: { id: string; part: "overview" | "lines" }) {
  const link = useLink();
  const { data: batch, error, refetch } = useBatch(id);
  if (batch === undefined) {
    if (error instanceof ApiError && error.status === 404) {
      return (
        <Empty title="There is no such batch">
          <a href={link(["batches"])}>To the batches</a>
        </Empty>
      );
    }
    return error ? <ErrorNotice error={error} again={() => void refetch()} /> : <Skeleton height={320} />;
  }
  const name = nameOf(batch);
  return (
    <>
      <PageTitle title={name}>
        <Actions batch={batch} />
      </PageTitle>
      <div className={classes.under}>
        <StateBadge batch={batch} />
        <span className={`mono dim cut ${classes.id}`}>{name === id ? batch.endpoint : id}</span>
        <CopyButton text={id} of="id" />
      </div>
      {error && <ErrorNotice error={error} />}
      <Tabs
        label="Parts of the batch"
        tabs={[
          { words: "Overview", href: link(["batches", id]), here: part === "overview" },
          { words: "Lines", href: link(["batches", id, "lines"]), here: part === "lines" },
        ]}
      />
      {part === "lines" ? <Lines batch={batch} /> : <Overview batch={batch} />}
    </>
  );
}
