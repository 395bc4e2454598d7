import { Button, Group, Modal } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { admin } from "../../api/api.ts";
import type { Key } from "../../api/types.ts";
import { ErrorNotice } from "../../parts/ErrorNotice.tsx";

export function RevokeDialog({ of, onClose }: { of: Key; onClose: () => void }) {
  const queries = useQueryClient();
  const revocation = useMutation({
    mutationFn: () => admin.revokeKey(of.id),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ["keys"] });
      onClose();
    },
  });
  return (
    <Modal opened onClose={onClose} title="Revoke this key?" centered>
      <p>
        {of.label || `…${of.tail}`} of {of.tenant}: whoever uses it is refused within five seconds. Batches that were made with
        it go on. This cannot be undone.
      </p>
      <ErrorNotice error={revocation.error} />
      <Group justify="flex-end" mt="md">
        <Button variant="default" onClick={onClose}>
          Keep it
        </Button>
        <Button color="red" loading={revocation.isPending} onClick={() => revocation.mutate()}>
          Revoke
        </Button>
      </Group>
    </Modal>
  );
}
