import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError } from "../../api/client.ts";
import type { Batch } from "../../api/types.ts";
import { useApi } from "../../app/useApi.ts";
import { isFinal } from "../../lib/counts.ts";
import { type LineRows, NO_LINES, withPage } from "../../lib/lineRows.ts";
import type { LineQuery } from "./filters.ts";

const PAGE = 200;
const POLL_MS = 3_000;

/** The lines that match, as far as the table was scrolled; new ones join at the end while the batch runs. */
export function useLines(batch: Batch, query: LineQuery) {
  const api = useApi();
  const client = useQueryClient();
  const key = ["lines", api.tenant, batch.id, query];
  const name = JSON.stringify(key);
  const { data = NO_LINES } = useQuery<LineRows>({ queryKey: key, enabled: false, gcTime: 300_000 });
  const [error, setError] = useState<unknown>(null);
  const asking = useRef<string | null>(null);
  const more = useCallback(async () => {
    if (asking.current === name) return;
    asking.current = name;
    const after = client.getQueryData<LineRows>(key)?.next ?? null;
    try {
      const page = await api.lines(batch.id, { ...query, limit: PAGE, ...(after !== null && { after }) });
      client.setQueryData<LineRows>(key, (old = NO_LINES) => withPage(old, after, page));
      setError(null);
    } catch (failure) {
      setError(failure);
    } finally {
      if (asking.current === name) asking.current = null;
    }
    // `name` stands for the key and the query.
  }, [api, client, batch.id, name]);
  const refresh = useCallback(() => {
    client.setQueryData<LineRows>(key, NO_LINES);
    void more();
  }, [client, name, more]);
  useEffect(() => {
    if (client.getQueryData(key) === undefined) void more();
  }, [client, name, more]);
  // In the order of the input new lines come up anywhere: those wait for a refresh.
  const live = !isFinal(batch) && query.order === "completion" && !data.more;
  useEffect(() => {
    if (!live) return;
    const timer = setInterval(() => {
      if (!document.hidden) void more();
    }, POLL_MS);
    return () => clearInterval(timer);
  }, [live, more]);
  // What time may mend is asked again, as everywhere.
  const passing = error instanceof ApiError && (error.status === 0 || error.status >= 500);
  useEffect(() => {
    if (!passing) return;
    const timer = setTimeout(() => void more(), POLL_MS);
    return () => clearTimeout(timer);
  }, [error, passing, more]);
  return { ...data, error, fetchMore: more, refresh };
}
