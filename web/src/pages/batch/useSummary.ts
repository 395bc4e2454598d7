import { useQuery } from "@tanstack/react-query";
import { isUnsupported } from "../../api/client.ts";
import type { Batch } from "../../api/types.ts";
import { useApi } from "../../app/useApi.ts";
import { isFinal } from "../../lib/counts.ts";

const POLL_MS = 3_000;

/** Null: this server has none. A batch that ended is asked about once more, for the whole of it. */
export function useSummary(batch: Batch) {
  const api = useApi();
  const final = isFinal(batch);
  return useQuery({
    queryKey: ["summary", api.tenant, batch.id, final],
    queryFn: async ({ signal }) => {
      try {
        return await api.summary(batch.id, signal);
      } catch (error) {
        if (isUnsupported(error)) return null;
        throw error;
      }
    },
    placeholderData: (old) => old,
    refetchInterval: ({ state }) => (final || state.data === null ? false : POLL_MS),
  });
}
