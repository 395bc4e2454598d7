import { useMemo } from "react";
import { Api } from "../api/api.ts";
import { useRoute } from "./useRoute.ts";

/** The calls, for the tenant in the address. Put `api.tenant` into the keys of queries. */
export function useApi(): Api {
  const tenant = useRoute().query.get("tenant");
  return useMemo(() => new Api(tenant), [tenant]);
}
