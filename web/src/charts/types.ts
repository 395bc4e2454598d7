export interface Series {
  name: string;
  /** One of the colours of lines: `--done` and its like. */
  tone: "done" | "failed" | "flight" | "retry" | "wait" | "dim";
  look: "line" | "area" | "steps" | "dashes" | "dashed steps";
  values: (number | null)[];
  /** What the legend tells, where what is drawn is stacked. */
  told?: (number | null)[];
  /** Not in the legend. */
  hidden?: boolean;
}

export interface ChartData {
  /** Unix seconds, ascending. */
  times: number[];
  series: Series[];
  format: (value: number) => string;
  /** For the legend, where there is room for more figures than at the axis. */
  exact?: (value: number) => string;
  /** Marks at the foot: how often something happened since the mark before. */
  ticks?: { at: number; count: number }[];
  /** Pairs of series, by index, the upper one first, with the room between them filled. */
  bands?: { between: [number, number]; tone: "failed" | "flight" }[];
}
