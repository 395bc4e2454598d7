import type { Provider, ProviderLane } from "../../api/types.ts";
import { count, duration } from "../../lib/format.ts";
import { modeWords } from "../../lib/words.ts";
import { Facts } from "../../parts/Facts.tsx";
import badge from "../../parts/StateBadge.module.css";
import { Panel } from "../../parts/Panel.tsx";
import classes from "./Providers.module.css";

const TONES = { ok: "done", waiting: "retry", paused: "failed", unused: "idle" } as const;
const WORDS = { ok: "answers", waiting: "waits", paused: "paused", unused: "not used yet" } as const;
const KEYS = { set: "set", none: "none", refused: "refused" } as const;

export function ProviderPanel({ provider, now }: { provider: Provider; now: number }) {
  const why = whyOf(provider, now);
  return (
    <Panel title={provider.name} side={<Badge tone={TONES[provider.state]} words={WORDS[provider.state]} />}>
      {why !== null && <p className={classes.why}>{why}</p>}
      <Facts
        facts={[
          { name: "Type", value: provider.type, more: provider.default ? "the default provider" : undefined },
          { name: "Address", value: provider.base_url ?? "its own" },
          { name: "Key", value: KEYS[provider.key] ?? provider.key },
          ...(provider.models.length > 0 ? [{ name: "Models", value: provider.models.join(", ") }] : []),
        ]}
      />
      {provider.lanes.length > 0 && <Lanes lanes={provider.lanes} now={now} />}
    </Panel>
  );
}

function Badge({ tone, words }: { tone: string; words: string }) {
  return (
    <span className={badge.badge} data-tone={tone}>
      <span className={badge.dot} aria-hidden />
      {words}
    </span>
  );
}

function Lanes({ lanes, now }: { lanes: ProviderLane[]; now: number }) {
  return (
    <div className={classes.wide} role="region" aria-label="Models" tabIndex={0}>
      <table className={classes.table}>
        <thead>
          <tr>
            <th scope="col">Model</th>
            <th scope="col">Sent by</th>
            <th scope="col">In flight</th>
            <th scope="col">Limit learnt</th>
            <th scope="col">Retrying</th>
            <th scope="col">Waiting</th>
          </tr>
        </thead>
        <tbody>
          {lanes.map((lane) => (
            <tr key={`${lane.model} ${lane.mode}`}>
              <td>
                {lane.model}
                {whyOf(lane, now) !== null && <div className="dim">{whyOf(lane, now)}</div>}
              </td>
              <td>{modeWords(lane.mode)}</td>
              <td>{count(lane.in_flight)}</td>
              <td>{count(lane.limit)}</td>
              <td>{count(lane.retrying)}</td>
              <td>{count(lane.waiting)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function whyOf({ state, reason, until }: { state: string; reason: string | null; until: number | null }, now: number): string | null {
  if (state === "ok" || state === "open" || state === "unused" || reason === null) return null;
  return until !== null && until > now ? `${reason}, tried again in ${duration(until - now)}` : reason;
}
