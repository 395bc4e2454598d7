import { Button, Skeleton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { admin } from "../api/api.ts";
import type { Key } from "../api/types.ts";
import { useMe } from "../app/useMe.ts";
import { useNow } from "../app/useNow.ts";
import { useRoute } from "../app/useRoute.ts";
import { ErrorNotice } from "../parts/ErrorNotice.tsx";
import { PageTitle } from "../parts/PageTitle.tsx";
import { AdminsOnly } from "./AdminsOnly.tsx";
import { KeyRow } from "./keys/KeyRow.tsx";
import { NewKeyDialog } from "./keys/NewKeyDialog.tsx";
import { RevokeDialog } from "./keys/RevokeDialog.tsx";
import classes from "./keys/Keys.module.css";

export function Keys() {
  const me = useMe();
  const now = useNow();
  const told = useRoute().query.get("tenant");
  const tenant = told === "*" ? null : told;
  const [making, setMaking] = useState(false);
  const [leaving, setLeaving] = useState<Key>();
  const { data, error, refetch } = useQuery({
    queryKey: ["keys", tenant],
    queryFn: ({ signal }) => admin.keys({ tenant }, signal),
    enabled: me?.role === "admin",
  });
  if (me?.role === "user") {
    return (
      <>
        <PageTitle title="Keys" />
        <AdminsOnly what="Keys" />
      </>
    );
  }
  return (
    <>
      <PageTitle title="Keys">
        <Button onClick={() => setMaking(true)}>New key</Button>
      </PageTitle>
      <ErrorNotice error={error} again={() => refetch()} />
      {data === undefined ? (
        error == null && <Skeleton height={240} />
      ) : (
        <div className={`panel ${classes.wide}`} role="region" aria-label="Keys" tabIndex={0}>
          <table className={classes.table}>
            <thead>
              <tr>
                {["Key", "Tenant", "Role", "Age", "State", "Actions"].map((name) => (
                  <th key={name} scope="col">
                    {name === "Actions" ? <span className="unseen">{name}</span> : name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {data.data.map((key) => (
                <KeyRow key={key.id} of={key} mine={key.id === me?.id} now={now} onRevoke={() => setLeaving(key)} />
              ))}
            </tbody>
          </table>
          {data.data.length === 0 && (
            <p className={`dim ${classes.none}`}>None is kept here. Keys from the environment and the folder's token are not listed.</p>
          )}
        </div>
      )}
      {making && <NewKeyDialog tenant={tenant ?? ""} onClose={() => setMaking(false)} />}
      {leaving && <RevokeDialog of={leaving} onClose={() => setLeaving(undefined)} />}
    </>
  );
}
