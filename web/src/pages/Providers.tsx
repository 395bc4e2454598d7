import { Skeleton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { admin } from "../api/api.ts";
import { useMe } from "../app/useMe.ts";
import { useNow } from "../app/useNow.ts";
import { Empty } from "../parts/Empty.tsx";
import { ErrorNotice } from "../parts/ErrorNotice.tsx";
import { PageTitle } from "../parts/PageTitle.tsx";
import { AdminsOnly } from "./AdminsOnly.tsx";
import { ProviderPanel } from "./providers/ProviderPanel.tsx";
import classes from "./providers/Providers.module.css";

const EVERY_MS = 5_000;

export function Providers() {
  const me = useMe();
  const now = useNow();
  const { data, error, refetch } = useQuery({
    queryKey: ["providers"],
    queryFn: ({ signal }) => admin.providers(signal),
    enabled: me?.role === "admin",
    refetchInterval: EVERY_MS,
  });
  return (
    <>
      <PageTitle title="Providers" />
      {me?.role === "user" ? (
        <AdminsOnly what="Providers and what was learnt of their limits" />
      ) : (
        <>
          <ErrorNotice error={error} again={() => refetch()} />
          {data === undefined ? (
            error == null && <Skeleton height={240} />
          ) : data.data.length === 0 ? (
            <Empty title="No provider is configured">Name one in batchrouter.yaml, or set a key in the environment.</Empty>
          ) : (
            <div className={classes.list}>
              {data.data.map((provider) => (
                <ProviderPanel key={provider.name} provider={provider} now={now} />
              ))}
            </div>
          )}
        </>
      )}
    </>
  );
}
