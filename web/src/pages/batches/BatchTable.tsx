import { useMediaQuery } from "@mantine/hooks";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import type { Batch } from "../../api/types.ts";
import { useNow } from "../../app/useNow.ts";
import { stepRows } from "../../parts/stepRows.ts";
import { BatchRow } from "./BatchRow.tsx";
import classes from "./BatchTable.module.css";

const ROW_PX = 58;
const CARD_PX = 124;
const OVERSCAN = 8;
const HEADS = ["Batch", "State", "Lines", "Pace", "Cost", "Age", "Deadline"];

interface Props {
  rows: Batch[];
  hasMore: boolean;
  onEnd: () => void;
  /** The ids of the rows that are seen. */
  onSeen: (ids: string[]) => void;
  showTenant: boolean;
}

/** Only the rows near the window are in the page, however many there are. Arrows go from row to row. */
export function BatchTable({ rows, hasMore, onEnd, onSeen, showTenant }: Props) {
  const now = useNow();
  const small = useMediaQuery("(max-width: 47.99em)", false, { getInitialValueInEffect: false });
  const list = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => setTop(list.current?.offsetTop ?? 0), [small]);
  const virtual = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => (small ? CARD_PX : ROW_PX),
    overscan: OVERSCAN,
    scrollMargin: top,
    getItemKey: (index) => rows[index]?.id ?? index,
  });
  useEffect(() => virtual.measure(), [small, virtual]);
  const items = virtual.getVirtualItems();
  const [first, last] = [virtual.range?.startIndex ?? 0, virtual.range?.endIndex ?? 0];
  useEffect(() => {
    onSeen(rows.slice(first, last + 1).map((row) => row.id));
    if (hasMore && last >= rows.length - 1 - OVERSCAN) onEnd();
  }, [rows, first, last, hasMore, onEnd, onSeen]);
  return (
    <div className={`panel ${classes.table}`} role="table" aria-label="Batches" aria-rowcount={hasMore ? -1 : rows.length + 1}>
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
        {items.map((item) => {
          const batch = rows[item.index];
          if (batch === undefined) return null;
          return (
            <div
              key={item.key}
              role="row"
              aria-rowindex={item.index + 2}
              data-index={item.index}
              className={classes.row}
              style={{ height: item.size, transform: `translateY(${item.start - top}px)` }}
            >
              <BatchRow batch={batch} now={now} showTenant={showTenant} />
            </div>
          );
        })}
      </div>
    </div>
  );
}
