import { Button, Skeleton } from "@mantine/core";
import { useMemo } from "react";
import { setQuery, useLink, useRoute } from "../app/useRoute.ts";
import { Empty } from "../parts/Empty.tsx";
import { ErrorNotice } from "../parts/ErrorNotice.tsx";
import { PageTitle } from "../parts/PageTitle.tsx";
import { useNow } from "../app/useNow.ts";
import { BatchTable } from "./batches/BatchTable.tsx";
import { FilterBar } from "./batches/FilterBar.tsx";
import { FILTERS, isNarrowed, serverFilters } from "./batches/filters.ts";
import { useBatchList } from "./batches/useBatchList.ts";

const MINUTE_MS = 60_000;

export function Batches() {
  const { query } = useRoute();
  const now = useNow(MINUTE_MS);
  const filters = useMemo(() => serverFilters(query, now), [query, now]);
  const { rows, hasMore, error, more, look } = useBatchList(filters);
  return (
    <>
      <PageTitle title="Batches" />
      <FilterBar />
      {error != null && <ErrorNotice error={error} />}
      {rows === undefined ? (
        error == null && <Skeleton height={240} />
      ) : rows.length === 0 ? (
        <Nothing narrowed={isNarrowed(query)} />
      ) : (
        <BatchTable
          rows={rows}
          hasMore={hasMore}
          onEnd={more}
          onSeen={look}
          showTenant={query.get("tenant") === "*"}
        />
      )}
    </>
  );
}

function Nothing({ narrowed }: { narrowed: boolean }) {
  const link = useLink();
  if (narrowed) {
    const clear = () => setQuery(Object.fromEntries(FILTERS.map((name) => [name, null])));
    return (
      <Empty title="No batch matches">
        <Button variant="default" onClick={clear}>
          Clear the filters
        </Button>
      </Empty>
    );
  }
  return (
    <Empty title="No batches yet">
      <a href={link(["new"])}>Make one from a file</a>, or let your program make one: it will be here at once.
    </Empty>
  );
}
