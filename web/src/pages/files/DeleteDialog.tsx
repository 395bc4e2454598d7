import { Button, Group, Modal } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { FileObject } from "../../api/types.ts";
import { useApi } from "../../app/useApi.ts";
import { ErrorNotice } from "../../parts/ErrorNotice.tsx";

export function DeleteDialog({ file, onClose }: { file: FileObject; onClose: () => void }) {
  const api = useApi();
  const queries = useQueryClient();
  const deletion = useMutation({
    mutationFn: () => api.deleteFile(file.id),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ["files"] });
      onClose();
    },
  });
  return (
    <Modal opened onClose={onClose} title="Delete this file?" centered>
      <p>
        {file.filename}: {file.purpose === "batch" ? "batches that still read it go on." : "the answers in it cannot be had again."}{" "}
        This cannot be undone.
      </p>
      <ErrorNotice error={deletion.error} />
      <Group justify="flex-end" mt="md">
        <Button variant="default" onClick={onClose}>
          Keep it
        </Button>
        <Button color="red" loading={deletion.isPending} onClick={() => deletion.mutate()}>
          Delete
        </Button>
      </Group>
    </Modal>
  );
}
