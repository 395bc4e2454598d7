import { Button, Checkbox, Group, Select, Stack, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useRef, useState } from "react";
import type { FileObject } from "../../api/types.ts";
import { useApi } from "../../app/useApi.ts";
import { go, useLink } from "../../app/useRoute.ts";
import { type BatchForm, EMPTY, ENDPOINTS, newBatch } from "../../lib/newBatch.ts";
import { ErrorNotice } from "../../parts/ErrorNotice.tsx";
import { Panel } from "../../parts/Panel.tsx";

const MODES = [
  { value: "", label: "As configured" },
  { value: "auto", label: "The cheapest that keeps the deadline" },
  { value: "realtime", label: "Real-time calls" },
  { value: "batch", label: "The provider's own batches" },
];

interface Props {
  file: FileObject;
  endpoint: string;
  onEndpoint: (endpoint: string) => void;
  blocked: boolean;
}

export function BatchOptions({ file, endpoint, onEndpoint, blocked }: Props) {
  const api = useApi();
  const link = useLink();
  const [form, setForm] = useState<BatchForm>(EMPTY);
  const repeat = useRef<{ of: string; key: string }>(null);
  const start = useMutation({
    mutationFn: async () => {
      const batch = newBatch({ ...form, endpoint }, file.id);
      const of = JSON.stringify(batch);
      // The same wish twice, because an answer was lost, is one batch.
      if (repeat.current?.of !== of) repeat.current = { of, key: crypto.randomUUID?.() ?? String(Math.random()) };
      return api.createBatch(batch, repeat.current.key);
    },
    onSuccess: (made) => go(link(["batches", made.id])),
  });
  const change = (part: Partial<BatchForm>) => setForm({ ...form, ...part });
  return (
    <Panel title="Batch">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          start.mutate();
        }}
      >
        <Stack gap="sm">
          <TextInput
            label="Name"
            description="To find it again"
            maxLength={512}
            value={form.name}
            onChange={(event) => change({ name: event.currentTarget.value })}
          />
          <Select
            label="Endpoint"
            data={[...ENDPOINTS]}
            allowDeselect={false}
            value={endpoint}
            onChange={(value) => value && onEndpoint(value)}
          />
          <Select
            label="How lines are sent"
            data={MODES}
            allowDeselect={false}
            value={form.mode}
            onChange={(mode) => change({ mode: mode ?? "" })}
          />
          <Group grow align="start">
            <TextInput
              label="Budget in dollars"
              description="Empty: none"
              inputMode="decimal"
              value={form.maxCost}
              onChange={(event) => change({ maxCost: event.currentTarget.value })}
            />
            <TextInput
              label="Deadline"
              description="From now on"
              value={form.window}
              onChange={(event) => change({ window: event.currentTarget.value })}
            />
          </Group>
          <Select
            label="Priority among your batches"
            data={["high", "normal", "low"]}
            allowDeselect={false}
            value={form.priority}
            onChange={(priority) => change({ priority: priority ?? "normal" })}
          />
          <Checkbox
            label="Send identical lines once"
            checked={form.dedupe}
            onChange={(event) => change({ dedupe: event.currentTarget.checked })}
          />
          <ErrorNotice error={start.error} />
          <Button type="submit" size="sm" disabled={blocked} loading={start.isPending}>
            Start the batch
          </Button>
        </Stack>
      </form>
    </Panel>
  );
}
