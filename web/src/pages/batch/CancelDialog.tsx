import { Button, Group, Modal } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import type { Batch } from "../../api/types.ts";
import { useApi } from "../../app/useApi.ts";
import { countsOf } from "../../lib/counts.ts";
import { plural } from "../../lib/format.ts";
import { ErrorNotice } from "../../parts/ErrorNotice.tsx";
import { tellBatch } from "./useBatch.ts";

export function CancelDialog({ batch, opened, onClose }: { batch: Batch; opened: boolean; onClose: () => void }) {
  const api = useApi();
  const cancel = useMutation({
    mutationFn: () => api.steer(batch.id, "cancel"),
    onSuccess: (changed) => {
      tellBatch(api, changed);
      onClose();
    },
  });
  const { done, failed, total } = countsOf(batch);
  return (
    <Modal opened={opened} onClose={onClose} title="Cancel this batch?" centered>
      <p>
        {plural(done + failed, "line")} of {total.toLocaleString("en-US")} ended: their answers are kept and delivered. The
        others are not sent. This cannot be undone; pausing can.
      </p>
      <ErrorNotice error={cancel.error} />
      <Group justify="flex-end" mt="md">
        <Button variant="default" onClick={onClose}>
          Keep it running
        </Button>
        <Button color="red" loading={cancel.isPending} onClick={() => cancel.mutate()}>
          Cancel the batch
        </Button>
      </Group>
    </Modal>
  );
}
