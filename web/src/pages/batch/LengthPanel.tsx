import type { Summary } from "../../api/types.ts";
import { count, short } from "../../lib/format.ts";
import { Panel } from "../../parts/Panel.tsx";
import classes from "./LengthPanel.module.css";

/** How long the answers are: a heap at the end are answers that were cut. */
export function LengthPanel({ tokens }: { tokens: Summary["output_tokens"] }) {
  const bins = tokens.histogram.filter(({ le }) => le === null || le > 0);
  const most = bins.reduce((high, bin) => Math.max(high, bin.count), 0);
  if (bins.length < 2 || most === 0) return null;
  const side = (
    <span className={classes.side}>
      p50 {short(tokens.p50)} · p95 {short(tokens.p95)} · max {short(tokens.max)}
    </span>
  );
  const words = bins.map(({ le, count: size }) => `${count(size)} up to ${le === null ? "any" : count(le)}`).join(", ");
  return (
    <Panel title="Length of answers, in tokens" side={side}>
      <div className={classes.bins} role="img" aria-label={words}>
        {bins.map(({ le, count: size }) => (
          <div key={le} className={classes.bin} title={`${count(size)} up to ${le === null ? "any" : count(le)} tokens`}>
            <span style={{ height: `${(100 * size) / most}%` }} />
            <i>{le === null ? "∞" : short(le)}</i>
          </div>
        ))}
      </div>
    </Panel>
  );
}
