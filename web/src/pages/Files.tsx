import { Button, Skeleton } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { FileObject } from "../api/types.ts";
import { useApi } from "../app/useApi.ts";
import { useNow } from "../app/useNow.ts";
import { useLink, useRoute } from "../app/useRoute.ts";
import { ChoiceFilter } from "../parts/ChoiceFilter.tsx";
import { Empty } from "../parts/Empty.tsx";
import { ErrorNotice } from "../parts/ErrorNotice.tsx";
import { PageTitle } from "../parts/PageTitle.tsx";
import { DeleteDialog } from "./files/DeleteDialog.tsx";
import { FileRow } from "./files/FileRow.tsx";
import classes from "./files/Files.module.css";

const PAGE = 100;
const PURPOSES = [{ words: null, choices: ["batch", "batch_output"] }];

export function Files() {
  const api = useApi();
  const link = useLink();
  const now = useNow();
  const purpose = useRoute().query.get("purpose");
  const [leaving, setLeaving] = useState<FileObject>();
  const list = useInfiniteQuery({
    queryKey: ["files", api.tenant, purpose],
    queryFn: ({ pageParam, signal }) => api.files({ limit: PAGE, after: pageParam, purpose: single(purpose) }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => (page.has_more ? page.last_id : null),
  });
  const files = list.data?.pages.flatMap((page) => page.data);
  return (
    <>
      <PageTitle title="Files">
        <ChoiceFilter name="purpose" any="Any purpose" many="purposes" groups={PURPOSES} />
        <Button component="a" href={link(["new"])}>
          New batch
        </Button>
      </PageTitle>
      <ErrorNotice error={list.error} again={() => list.refetch()} />
      {files === undefined ? (
        list.error == null && <Skeleton height={240} />
      ) : files.length === 0 ? (
        <Empty title="No files">Inputs that were uploaded and answers of batches that ended are kept here until they expire.</Empty>
      ) : (
        <div className={`panel ${classes.table}`} role="table" aria-label="Files">
          <div role="row" className={classes.head}>
            {["File", "Lines", "Size", "Age", "Expires", "Actions"].map((name) => (
              <div key={name} role="columnheader">
                {name === "Actions" ? <span className="unseen">{name}</span> : name}
              </div>
            ))}
          </div>
          {files.map((file) => (
            <FileRow key={file.id} file={file} now={now} onDelete={() => setLeaving(file)} />
          ))}
        </div>
      )}
      {list.hasNextPage && (
        <Button variant="default" mt="sm" loading={list.isFetchingNextPage} onClick={() => list.fetchNextPage()}>
          More files
        </Button>
      )}
      {leaving && <DeleteDialog file={leaving} onClose={() => setLeaving(undefined)} />}
    </>
  );
}

/** The server lists one purpose, or all. */
function single(purpose: string | null): string | null {
  return purpose?.includes(",") ? null : purpose;
}
