import { Button } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation } from "@tanstack/react-query";
import type { Batch } from "../../api/types.ts";
import { useApi } from "../../app/useApi.ts";
import { countsOf, isFinal } from "../../lib/counts.ts";
import { ErrorNotice } from "../../parts/ErrorNotice.tsx";
import { Icon } from "../../parts/Icon.tsx";
import { isPaused } from "../../parts/StateBadge.tsx";
import { CancelDialog } from "./CancelDialog.tsx";
import { RetryDialog } from "./RetryDialog.tsx";
import { tellBatch } from "./useBatch.ts";

/** Only what can be done in this state is offered. */
export function Actions({ batch }: { batch: Batch }) {
  const api = useApi();
  const [cancelling, cancel] = useDisclosure(false);
  const [retrying, retry] = useDisclosure(false);
  const steer = useMutation({
    mutationFn: (verb: "pause" | "resume") => api.steer(batch.id, verb),
    onSuccess: (changed) => tellBatch(api, changed),
  });
  const running = batch.status === "validating" || batch.status === "in_progress";
  const paused = isPaused(batch);
  const counts = countsOf(batch);
  const again = isFinal(batch) && counts.total > 0;
  return (
    <>
      {running && (
        <Button
          variant="default"
          leftSection={<Icon name={paused ? "play" : "pause"} size={14} />}
          loading={steer.isPending}
          onClick={() => steer.mutate(paused ? "resume" : "pause")}
        >
          {paused ? "Resume" : "Pause"}
        </Button>
      )}
      {running && (
        <Button variant="default" leftSection={<Icon name="stop" size={14} />} onClick={cancel.open}>
          Cancel
        </Button>
      )}
      {again && (
        <Button
          variant={counts.failed + counts.unfinished > 0 ? "filled" : "default"}
          leftSection={<Icon name="retry" size={14} />}
          onClick={retry.open}
        >
          {counts.failed + counts.unfinished > 0 ? "Retry failed" : "Retry"}
        </Button>
      )}
      <CancelDialog batch={batch} opened={cancelling} onClose={cancel.close} />
      {retrying && <RetryDialog batch={batch} onClose={retry.close} />}
      {steer.error && (
        <div style={{ flexBasis: "100%" }}>
          <ErrorNotice error={steer.error} />
        </div>
      )}
    </>
  );
}
