import type { Batch } from "../../api/types.ts";
import { useLink } from "../../app/useRoute.ts";
import { count } from "../../lib/format.ts";
import { clock } from "../../lib/words.ts";
import { type Fact, Facts } from "../../parts/Facts.tsx";
import { Panel } from "../../parts/Panel.tsx";

/** Metadata that the batch itself has as members. */
const TOLD = new Set(["priority", "max_cost"]);

/** What the batch was asked to do. */
export function Details({ batch }: { batch: Batch }) {
  const link = useLink();
  const { priority, retry_of, resume_from, dedupe, reused, invalid_output, tenant } = batch.batchrouter ?? {};
  const other = (id: string) => <a href={link(["batches", id])}>{id}</a>;
  const facts: (Fact | null)[] = [
    { name: "Id", value: <span className="mono">{batch.id}</span> },
    tenant ? { name: "Tenant", value: tenant } : null,
    { name: "Endpoint", value: batch.endpoint },
    { name: "Window", value: batch.completion_window, more: `until ${clock(batch.expires_at)}` },
    { name: "Priority", value: priority ?? "normal" },
    retry_of ? { name: "Retry of", value: other(retry_of) } : null,
    resume_from ? { name: "Goes on from", value: other(resume_from) } : null,
    dedupe ? { name: "Identical lines", value: "sent once" } : null,
    reused ? { name: "Reused answers", value: count(reused), more: "not paid for here" } : null,
    invalid_output ? { name: "Invalid output", value: count(invalid_output), more: "breaks its schema" } : null,
    ...Object.entries(batch.metadata ?? {})
      .filter(([name]) => !TOLD.has(name))
      .map(([name, value]) => ({ name, value })),
  ];
  return (
    <Panel title="Details">
      <Facts facts={facts.filter((fact) => fact !== null)} />
    </Panel>
  );
}
