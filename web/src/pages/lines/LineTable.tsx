import { useMediaQuery } from "@mantine/hooks";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { useRoute } from "../../app/useRoute.ts";
import type { LineRow } from "../../lib/lineRows.ts";
import { changed, hashOf } from "../../lib/route.ts";
import { stepRows } from "../../parts/stepRows.ts";
import { LineCells } from "./LineCells.tsx";
import classes from "./LineTable.module.css";

const ROW_PX = 36;
const CARD_PX = 66;
const OVERSCAN = 12;
const HEADS = ["Line", "custom_id", "Outcome", "Answer or error", "Tokens", "Latency", "Tries", "Model"];

interface Props {
  rows: LineRow[];
  more: boolean;
  onEnd: () => void;
}

/** Only the rows near the window are in the page. Arrows go from row to row, Enter opens one. */
export function LineTable({ rows, more, onEnd }: Props) {
  const { path, query } = useRoute();
  const small = useMediaQuery("(max-width: 47.99em)", false, { getInitialValueInEffect: false });
  const list = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => setTop(list.current?.offsetTop ?? 0), [small]);
  const virtual = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => (small ? CARD_PX : ROW_PX),
    overscan: OVERSCAN,
    scrollMargin: top,
  });
  useEffect(() => virtual.measure(), [small, virtual]);
  const last = virtual.range?.endIndex ?? 0;
  useEffect(() => {
    if (more && last >= rows.length - 1 - OVERSCAN) onEnd();
  }, [rows, last, more, onEnd]);
  return (
    <div className={`panel ${classes.table}`} role="table" aria-label="Lines" aria-rowcount={more ? -1 : rows.length + 1}>
      <div role="rowgroup" className={classes.heads}>
        <div role="row" className={classes.head} aria-rowindex={1}>
          {HEADS.map((head) => (
            <div key={head} role="columnheader">
              {head}
            </div>
          ))}
        </div>
      </div>
      <div ref={list} role="rowgroup" style={{ position: "relative", height: virtual.getTotalSize() }} onKeyDown={stepRows}>
        {virtual.getVirtualItems().map((item) => {
          const line = rows[item.index];
          if (line === undefined) return null;
          return (
            <div
              key={line.line}
              role="row"
              aria-rowindex={item.index + 2}
              data-index={item.index}
              className={classes.row}
              style={{ height: item.size, transform: `translateY(${item.start - top}px)` }}
            >
              <LineCells line={line} href={hashOf(path, changed(query, { line: String(line.line) }))} />
            </div>
          );
        })}
      </div>
    </div>
  );
}
