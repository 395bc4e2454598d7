import { QueryClient } from "@tanstack/react-query";
import { ApiError } from "../api/client.ts";

const TRIES = 3;

/** What a person has to mend is told at once; what time may mend is asked again. */
export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (failures, error) =>
        failures < TRIES && (!(error instanceof ApiError) || error.status === 0 || error.status >= 500),
      staleTime: 2_000,
      refetchIntervalInBackground: false,
    },
  },
});
