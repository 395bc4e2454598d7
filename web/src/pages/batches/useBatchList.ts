import { useQuery } from "@tanstack/react-query";
import { useCallback, useRef, useState } from "react";
import { queries } from "../../app/queries.ts";
import { useApi } from "../../app/useApi.ts";
import type { Query } from "../../api/client.ts";
import type { Batch } from "../../api/types.ts";
import { isFinal } from "../../lib/counts.ts";
import { type Rows, withHead, withLooks, withTail } from "../../lib/rows.ts";
import { paces } from "./paces.ts";

const PAGE = 100;
const POLL_MS = 3_000;
/** Batches that are looked at one by one, since lists tell no lanes. */
const LOOKS_MAX = 10;
const KEPT_MS = 600_000;

/** The rows of the list: its beginning is asked for every few seconds while the page is seen. */
export function useBatchList(filters: Query) {
  const api = useApi();
  const rowsKey = ["rows", api.tenant, filters];
  const head = useQuery({
    queryKey: ["head", api.tenant, filters],
    queryFn: async ({ signal }) => {
      const page = await api.batches({ ...filters, limit: PAGE }, signal);
      noteAll(page.data);
      queries.setQueryData<Rows>(rowsKey, (old) => withHead(old, page));
      return page.data.length;
    },
    refetchInterval: POLL_MS,
  });
  const { data } = useQuery<Rows>({ queryKey: rowsKey, enabled: false, gcTime: KEPT_MS, staleTime: Infinity });
  const asking = useRef(false);
  const [tailError, setTailError] = useState<unknown>(null);
  const more = async () => {
    const last = data?.rows.at(-1);
    if (asking.current || last === undefined || !data?.more) return;
    asking.current = true;
    try {
      const page = await api.batches({ ...filters, limit: PAGE, after: last.id });
      queries.setQueryData<Rows>(rowsKey, (old) => withTail(old, last.id, page));
      setTailError(null);
    } catch (error) {
      setTailError(error);
    } finally {
      asking.current = false;
    }
  };
  const [seen, setSeen] = useState<string[]>([]);
  const wanted = seen.filter((id) => data?.rows.some((row) => row.id === id && !isFinal(row))).slice(0, LOOKS_MAX);
  useQuery({
    queryKey: ["looks", api.tenant, wanted],
    queryFn: async ({ signal }) => {
      const looks = await Promise.all(wanted.map((id) => api.batch(id, signal)));
      noteAll(looks);
      queries.setQueryData<Rows>(rowsKey, (old) => withLooks(old, looks));
      return null;
    },
    // The tenants of all have their lists, but a batch is looked at as one of them.
    enabled: wanted.length > 0 && api.tenant !== "*",
    refetchInterval: POLL_MS,
    gcTime: 0,
  });
  const look = useCallback((ids: string[]) => {
    setSeen((old) => (old.join() === ids.join() ? old : ids));
  }, []);
  return { rows: data?.rows, hasMore: data?.more ?? false, error: head.error ?? tailError, more, look };
}

function noteAll(batches: Batch[]) {
  const now = Date.now() / 1_000;
  for (const batch of batches) if (!isFinal(batch)) paces.saw(batch, now);
}
