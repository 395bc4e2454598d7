import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Api } from "../../api/api.ts";
import { isUnsupported } from "../../api/client.ts";
import { frames } from "../../api/sse.ts";
import type { Batch } from "../../api/types.ts";
import { queries } from "../../app/queries.ts";
import { useApi } from "../../app/useApi.ts";
import { isFinal, newer } from "../../lib/counts.ts";
import { paces } from "../batches/paces.ts";

const POLL_MS = 2_000;
const AGAIN_MS = 3_000;

/** A batch as it changes: told by the server while it can, asked for every two seconds where it cannot. */
export function useBatch(id: string) {
  const api = useApi();
  const [told, setTold] = useState(false);
  const query = useQuery({
    queryKey: keyOf(api, id),
    queryFn: async ({ signal }) => {
      const batch = newer(queries.getQueryData<Batch>(keyOf(api, id)), await api.batch(id, signal));
      paces.saw(batch, Date.now() / 1_000);
      return batch;
    },
    refetchInterval: ({ state }) => (told || (state.data && isFinal(state.data)) ? false : POLL_MS),
  });
  const running = query.data !== undefined && !isFinal(query.data);
  useEffect(() => {
    if (!running) return;
    return watch(api, id, setTold);
  }, [api, id, running]);
  return query;
}

export function keyOf(api: Api, id: string) {
  return ["batch", api.tenant, id];
}

/** What an action answered, or the stream told. */
export function tellBatch(api: Api, batch: Batch) {
  paces.saw(batch, Date.now() / 1_000);
  queries.setQueryData<Batch>(keyOf(api, batch.id), (old) => newer(old, batch));
}

/** Streams while the page is seen; a stream that breaks is opened again, and polling bridges the gap. */
function watch(api: Api, id: string, setTold: (told: boolean) => void): () => void {
  let ended = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let control: AbortController | null = null;
  const open = async () => {
    if (ended || document.hidden || control !== null) return;
    const mine = new AbortController();
    control = mine;
    try {
      const reply = await api.watch(id, mine.signal);
      if (!reply.headers.get("content-type")?.startsWith("text/event-stream")) return close();
      for await (const frame of frames(reply)) {
        setTold(true); // not before: a proxy may hold the frames back
        if (frame.event === "batch") tellBatch(api, JSON.parse(frame.data) as Batch);
        if (frame.event === "event") void queries.invalidateQueries({ queryKey: ["events", api.tenant, id] });
        if (frame.event === "end") {
          await queries.invalidateQueries({ queryKey: keyOf(api, id) });
          return close();
        }
      }
    } catch (error) {
      if (isUnsupported(error)) return close();
    }
    if (control !== mine || ended) return;
    control = null;
    setTold(false);
    timer = setTimeout(open, AGAIN_MS);
  };
  const seen = () => {
    if (document.hidden) {
      control?.abort();
      control = null;
      setTold(false);
    } else void open();
  };
  const close = () => {
    ended = true;
    clearTimeout(timer);
    control?.abort();
    document.removeEventListener("visibilitychange", seen);
    setTold(false);
  };
  document.addEventListener("visibilitychange", seen);
  void open();
  return close;
}
