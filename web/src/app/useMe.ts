import { useQuery } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { whoIs } from "../api/api.ts";
import { session } from "../lib/session.ts";

export function useSession() {
  return useSyncExternalStore(session.subscribe, session.get);
}

/** Who is signed in; undefined until the server said so. */
export function useMe() {
  const { key } = useSession();
  const { data } = useQuery({
    queryKey: ["me", key],
    queryFn: ({ signal }) => whoIs(undefined, signal),
    enabled: key !== null,
    staleTime: 300_000,
  });
  return data;
}
