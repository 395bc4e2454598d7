import type { Batch } from "../../api/types.ts";
import { isFinal } from "../../lib/counts.ts";
import { DownloadButton } from "../../parts/DownloadButton.tsx";
import { Panel } from "../../parts/Panel.tsx";
import classes from "./BatchFiles.module.css";

export function BatchFiles({ batch }: { batch: Batch }) {
  return (
    <Panel title="Files">
      <div className={classes.files}>
        {batch.output_file_id && <DownloadButton fileId={batch.output_file_id} words="Output" />}
        {batch.error_file_id && <DownloadButton fileId={batch.error_file_id} words="Errors" />}
        <DownloadButton fileId={batch.input_file_id} words="Input" />
        {!isFinal(batch) && <span className="dim">The answers' files are made when the batch ends.</span>}
      </div>
    </Panel>
  );
}
