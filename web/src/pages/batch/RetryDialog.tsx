import { Button, Group, Modal, Radio, Stack, Textarea, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useRef, useState } from "react";
import type { Batch, RetryWhere } from "../../api/types.ts";
import { useApi } from "../../app/useApi.ts";
import { go, useLink } from "../../app/useRoute.ts";
import { countsOf } from "../../lib/counts.ts";
import { plural } from "../../lib/format.ts";
import { type RetryForm, retryBody } from "../../lib/retry.ts";
import { ErrorNotice } from "../../parts/ErrorNotice.tsx";

interface Props {
  batch: Batch;
  /** What the lines are narrowed to, where the retry was asked for from there. */
  filter?: RetryWhere;
  onClose: () => void;
}

/** Makes a new batch that holds every line: the chosen ones are sent again, the others are kept as they are. */
export function RetryDialog({ batch, filter, onClose }: Props) {
  const api = useApi();
  const link = useLink();
  const repeat = useRef(crypto.randomUUID?.() ?? String(Math.random()));
  const { failed, unfinished } = countsOf(batch);
  const [form, setForm] = useState<RetryForm>({
    which: filter ? "matching" : failed + unfinished > 0 ? "failed" : "truncated",
    filter: filter ?? {},
    maxTokens: "",
    overrides: "",
    maxCost: "",
  });
  const change = (part: Partial<RetryForm>) => {
    repeat.current = crypto.randomUUID?.() ?? String(Math.random());
    setForm({ ...form, ...part });
  };
  const start = useMutation({
    mutationFn: async () => api.retry(batch.id, retryBody(form), repeat.current),
    onSuccess: (made) => {
      onClose();
      go(link(["batches", made.id]));
    },
  });
  const submit = (event: React.FormEvent) => {
    event.preventDefault();
    start.mutate();
  };
  return (
    <Modal opened onClose={onClose} title="Send lines again" centered size="lg">
      <form onSubmit={submit}>
        <Stack gap="sm">
          <Radio.Group
            label="Which lines"
            value={form.which}
            onChange={(which) => change({ which: which as RetryForm["which"] })}
          >
            <Stack gap={6} mt={6}>
              <Radio
                value="failed"
                label={`All that did not succeed: ${plural(failed, "failed line")}, ${plural(unfinished, "unfinished one")}`}
              />
              <Radio value="truncated" label="Answers that were cut at max_tokens (finish reason length)" />
              {filter && <Radio value="matching" label={`All that match the filter (${worded(filter)})`} />}
            </Stack>
          </Radio.Group>
          <TextInput
            label="max_tokens"
            description="Empty: as in the file"
            inputMode="numeric"
            value={form.maxTokens}
            onChange={(event) => change({ maxTokens: event.currentTarget.value })}
          />
          <Textarea
            label="Other changes of the body"
            description="A JSON object, merged into the body of every line that is sent again; null removes a member"
            placeholder='{"temperature": 0}'
            autosize
            minRows={2}
            maxRows={8}
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
            value={form.overrides}
            onChange={(event) => change({ overrides: event.currentTarget.value })}
          />
          <TextInput
            label="Budget in dollars"
            description="Empty: none"
            inputMode="decimal"
            value={form.maxCost}
            onChange={(event) => change({ maxCost: event.currentTarget.value })}
          />
          <p className="dim" style={{ margin: 0 }}>
            This makes a new batch. Its files hold every line once: answers that are kept are copied, and not paid for again.
          </p>
          <ErrorNotice error={start.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit" loading={start.isPending}>
              Start
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function worded(where: RetryWhere): string {
  const parts = Object.entries(where).map(([name, value]) => `${name.replace("_", " ")}: ${[value].flat().join(" or ")}`);
  return parts.join(", ");
}
