import { Button, Group, Modal, Select, Stack, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { admin } from "../../api/api.ts";
import type { Role } from "../../api/types.ts";
import { CopyButton } from "../../parts/CopyButton.tsx";
import { ErrorNotice } from "../../parts/ErrorNotice.tsx";
import { Notice } from "../../parts/Notice.tsx";
import classes from "./Keys.module.css";

export function NewKeyDialog({ tenant, onClose }: { tenant: string; onClose: () => void }) {
  const queries = useQueryClient();
  const [form, setForm] = useState({ label: "", tenant, role: "user" as Role });
  const made = useMutation({
    mutationFn: () => admin.createKey({ ...form, tenant: form.tenant.trim() || "default" }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["keys"] }),
  });
  if (made.data?.secret !== undefined) {
    return (
      <Modal opened onClose={onClose} title="The new key" centered closeOnClickOutside={false}>
        <Notice tone="warning">Copy it now: nobody can be shown it again.</Notice>
        <p className={`mono ${classes.secret}`}>
          {made.data.secret} <CopyButton text={made.data.secret} of="the key" />
        </p>
        <Group justify="flex-end">
          <Button onClick={onClose}>Done</Button>
        </Group>
      </Modal>
    );
  }
  return (
    <Modal opened onClose={onClose} title="New key" centered>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          made.mutate();
        }}
      >
        <Stack gap="sm">
          <TextInput
            label="Label"
            description="What it is for"
            maxLength={200}
            value={form.label}
            onChange={(event) => setForm({ ...form, label: event.currentTarget.value })}
          />
          <TextInput
            label="Tenant"
            description="Made if there is none of that name; empty: default"
            value={form.tenant}
            onChange={(event) => setForm({ ...form, tenant: event.currentTarget.value })}
          />
          <Select
            label="Role"
            description="Admins manage keys and tenants, and may act for every tenant"
            data={["user", "admin"]}
            allowDeselect={false}
            value={form.role}
            onChange={(role) => setForm({ ...form, role: (role ?? "user") as Role })}
          />
          <ErrorNotice error={made.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit" loading={made.isPending}>
              Make the key
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
