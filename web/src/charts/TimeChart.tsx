import "uplot/dist/uPlot.min.css";
import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useMemo, useRef, useState } from "react";
import type uPlot from "uplot";
import classes from "./TimeChart.module.css";
import { drawn } from "./drawn.ts";
import type { ChartData } from "./types.ts";

/** Lines over time. The legend tells the last values, or those under the pointer. */
export function TimeChart({ data, label }: { data: ChartData; label: string }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const scheme = useComputedColorScheme("light");
  const shape = data.series.map(({ name, tone, look }) => `${name} ${tone} ${look}`).join("|");
  const latest = useRef(data);
  latest.current = data;
  useEffect(() => {
    if (box.current === null) return;
    const made = drawn(box.current, latest, setAt);
    plot.current = made.plot;
    return made.remove;
    // Made anew only when what is drawn, or the colours, are others.
  }, [shape, scheme]);
  useEffect(() => {
    plot.current?.setData([data.times, ...data.series.map(({ values }) => values)] as uPlot.AlignedData);
  }, [data]);
  const index = at ?? lastKnown(data);
  const told = useMemo(
    () => data.series.filter(({ hidden }) => !hidden).map((each) => ({ ...each, value: (each.told ?? each.values)[index] })),
    [data, index],
  );
  return (
    <div>
      <ul className={classes.legend}>
        {told.map(({ name, tone, value, look }) => (
          <li key={name}>
            <span className={classes.key} data-look={look} style={{ color: `var(--${tone})` }} aria-hidden />
            {name} <b>{value == null ? "–" : (data.exact ?? data.format)(value)}</b>
          </li>
        ))}
        {data.ticks && data.ticks.some(({ count }) => count > 0) && (
          <li>
            <span className={classes.tick} aria-hidden /> refused <b>{data.ticks.reduce((all, { count }) => all + count, 0)}</b>
          </li>
        )}
      </ul>
      <div ref={box} className={classes.plot} role="img" aria-label={label} />
    </div>
  );
}

function lastKnown({ times, series }: ChartData): number {
  for (let index = times.length - 1; index > 0; index -= 1) {
    if (series.some(({ hidden, values }) => !hidden && values[index] != null)) return index;
  }
  return 0;
}
