import { Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { admin } from "../api/api.ts";
import { useMe } from "./useMe.ts";
import { go, setQuery, useRoute } from "./useRoute.ts";
import { hashOf } from "../lib/route.ts";

const OWN = "own";

/** For admins of servers with several tenants: whose batches and files are shown. */
export function TenantSwitch() {
  const me = useMe();
  const { path, query } = useRoute();
  const isAdmin = me?.role === "admin";
  const { data } = useQuery({
    queryKey: ["tenants"],
    queryFn: ({ signal }) => admin.tenants(signal),
    enabled: isAdmin,
    staleTime: 60_000,
  });
  // Without `/v1/me` the server is one that knows of no acting for others.
  if (!isAdmin || me.tenant === null || data === undefined || data.data.length < 2) return null;
  const others = data.data.map(({ name }) => name).filter((name) => name !== me.tenant);
  const choose = (value: string | null) => {
    const tenant = value === OWN ? null : value;
    // What is open belongs to another tenant.
    if (path.length > 1) go(hashOf([path[0] ?? "batches"], { tenant }));
    else setQuery({ tenant });
  };
  return (
    <Select
      aria-label="Tenant"
      size="xs"
      w={{ base: 120, sm: 150 }}
      allowDeselect={false}
      value={query.get("tenant") ?? OWN}
      onChange={choose}
      data={[
        { value: OWN, label: me.tenant },
        ...others.map((name) => ({ value: name, label: name })),
        { value: "*", label: "All tenants", disabled: path[0] !== undefined && path[0] !== "batches" },
      ]}
    />
  );
}
