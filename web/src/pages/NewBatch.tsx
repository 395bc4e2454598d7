import { Button } from "@mantine/core";
import { useEffect } from "react";
import { useLink, useRoute } from "../app/useRoute.ts";
import { bytes, count } from "../lib/format.ts";
import { ErrorNotice } from "../parts/ErrorNotice.tsx";
import { PageTitle } from "../parts/PageTitle.tsx";
import { Panel } from "../parts/Panel.tsx";
import { BatchOptions } from "./new/BatchOptions.tsx";
import { DropZone } from "./new/DropZone.tsx";
import { EstimatePanel } from "./new/EstimatePanel.tsx";
import { LineErrors } from "./new/LineErrors.tsx";
import classes from "./new/NewBatch.module.css";
import { useDraft } from "./new/useDraft.ts";

/** A file, what is wrong with it, what it would cost; and only then a batch. Nothing is sent to a model before. */
export function NewBatch() {
  const fileId = useRoute().query.get("file");
  const link = useLink();
  const draft = useDraft();
  const { local, stored, check, adopt } = draft;
  useEffect(() => {
    if (fileId) adopt(fileId);
  }, [fileId, adopt]);
  const faulty = check !== undefined && check.error_count > 0;
  return (
    <>
      <PageTitle title="New batch" />
      {stored === undefined ? (
        <DropZone onFile={draft.choose} progress={draft.progress} onStop={draft.forget} />
      ) : (
        <Panel
          title="File"
          side={
            <Button variant="default" size="compact-sm" onClick={draft.forget} component="a" href={link(["new"])}>
              Another file
            </Button>
          }
        >
          <p className={classes.file}>
            <b>{stored.filename}</b>{" "}
            <span className="dim">
              {bytes(stored.bytes)}, {count(check?.lines ?? stored.num_rows)} lines
            </span>
          </p>
        </Panel>
      )}
      <ErrorNotice error={draft.error} again={local && stored === undefined ? () => draft.choose(local) : undefined} />
      {stored !== undefined && faulty && <LineErrors check={check} file={local} onFixed={draft.choose} busy={draft.progress !== null} />}
      {stored !== undefined && (
        <div className={classes.columns}>
          <BatchOptions file={stored} endpoint={draft.endpoint} onEndpoint={draft.setEndpoint} blocked={faulty || check === undefined} />
          <EstimatePanel file={stored} />
        </div>
      )}
    </>
  );
}
