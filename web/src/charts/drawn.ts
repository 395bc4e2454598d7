/** uPlot, told how our charts look. */

import type { RefObject } from "react";
import uPlot from "uplot";
import type { ChartData, Series } from "./types.ts";

const HEIGHT_PX = 150;
const TICK_PX = 7;

export function drawn(box: HTMLElement, data: RefObject<ChartData>, onPoint: (index: number | null) => void) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const dim = colour("--mantine-color-dimmed");
  const grid = { stroke: colour("--mantine-color-default-border"), width: 1 };
  const font = `11px ${colour("--mantine-font-family")}`;
  const { series, bands } = data.current;
  const plot = new uPlot(
    {
      width: box.clientWidth,
      height: HEIGHT_PX,
      padding: [8, 26, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] } },
      axes: [
        { stroke: dim, font, grid: { show: false }, ticks: { show: false }, size: 24, space: 80, values: times },
        {
          stroke: dim,
          font,
          grid,
          ticks: { show: false },
          size: 46,
          space: 36,
          values: (_, splits) => splits.map((value) => data.current.format(value)),
        },
      ],
      series: [{}, ...series.map((each) => seriesOf(each, colour, dim))],
      bands: (bands ?? []).map(({ between: [upper, lower], tone }) => ({
        series: [upper + 1, lower + 1],
        fill: faint(colour(`--${tone}`), 0.22),
      })),
      hooks: {
        draw: [(self) => ticks(self, data.current, colour("--failed"))],
        setCursor: [(self) => onPoint(self.cursor.left != null && self.cursor.left >= 0 ? (self.cursor.idx ?? null) : null)],
      },
    },
    [data.current.times, ...series.map(({ values }) => values)] as uPlot.AlignedData,
    box,
  );
  const observer = new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: HEIGHT_PX }));
  observer.observe(box);
  const remove = () => {
    observer.disconnect();
    plot.destroy();
  };
  return { plot, remove };
}

function seriesOf({ tone, look }: Series, colour: (name: string) => string, dim: string): uPlot.Series {
  const stroke = tone === "dim" ? dim : colour(`--${tone}`);
  return {
    stroke,
    width: look.startsWith("dashe") ? 1 : 1.5,
    spanGaps: true,
    points: { show: false },
    ...(look.startsWith("dashe") && { dash: [4, 3] }),
    ...(look === "dashed steps" && { paths: uPlot.paths.stepped!({ align: 1 }) }),
    ...(look === "area" && { fill: faint(stroke, 0.25) }),
    ...(look === "steps" && { paths: uPlot.paths.stepped!({ align: 1 }), fill: faint(stroke, 0.18) }),
  };
}

/** `#rrggbb` with an alpha. */
function faint(hex: string, alpha: number): string {
  return `${hex}${Math.round(alpha * 255)
    .toString(16)
    .padStart(2, "0")}`;
}

/** Labels of the time axis; seconds only where the whole is short. */
function times(_: uPlot, splits: number[]): string[] {
  const span = (splits.at(-1) ?? 0) - (splits[0] ?? 0);
  const shown: Intl.DateTimeFormatOptions =
    span > 86_400 * 2
      ? { day: "numeric", month: "short" }
      : { hour: "2-digit", minute: "2-digit", ...(span < 300 && { second: "2-digit" }) };
  return splits.map((at) => new Date(at * 1_000).toLocaleString("en-GB", shown));
}

function ticks(plot: uPlot, data: ChartData, stroke: string) {
  if (!data.ticks?.length) return;
  const { ctx, bbox } = plot;
  const height = TICK_PX * devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = stroke;
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.beginPath();
  for (const { at, count } of data.ticks) {
    const x = Math.round(plot.valToPos(at, "x", true));
    if (count === 0 || x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.moveTo(x, bbox.top + bbox.height);
    ctx.lineTo(x, bbox.top + bbox.height - height);
  }
  ctx.stroke();
  ctx.restore();
}
