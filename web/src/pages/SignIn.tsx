import { Button, Checkbox, PasswordInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { whoIs } from "../api/api.ts";
import { queries } from "../app/queries.ts";
import icon from "../app/icon.svg";
import { useSession } from "../app/useMe.ts";
import { session } from "../lib/session.ts";
import { ErrorNotice } from "../parts/ErrorNotice.tsx";
import { Notice } from "../parts/Notice.tsx";
import classes from "./SignIn.module.css";

/** A key is tried before it is kept. */
export function SignIn() {
  const { refused } = useSession();
  const [key, setKey] = useState("");
  const [stay, setStay] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const secret = key.trim();
    if (!secret || busy) return;
    setBusy(true);
    setError(null);
    try {
      queries.setQueryData(["me", secret], await whoIs(secret));
      session.signIn(secret, stay);
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return (
    <main className={classes.page}>
      <form className={`panel ${classes.form}`} onSubmit={submit}>
        <title>Sign in · BatchRouter</title>
        <img src={icon} width={36} height={36} alt="" />
        <h1 className={classes.title}>Sign in to BatchRouter</h1>
        {refused && error === null && (
          <Notice tone="warning">This key works no longer. Sign in with another one.</Notice>
        )}
        <ErrorNotice error={error} />
        <PasswordInput
          label="API key"
          description="The same key that your programs use. It stays in this browser."
          placeholder="sk-…"
          autoComplete="current-password"
          autoFocus
          required
          withAsterisk={false}
          value={key}
          onChange={(event) => setKey(event.currentTarget.value)}
        />
        <Checkbox
          label="Stay signed in on this device"
          checked={stay}
          onChange={(event) => setStay(event.currentTarget.checked)}
        />
        <Button type="submit" size="sm" loading={busy} fullWidth>
          Sign in
        </Button>
        <p className={classes.hint}>
          No key yet? <code>batchrouter keys create</code> makes one; with <code>--role admin</code> it sees providers and
          keys, too.
        </p>
      </form>
    </main>
  );
}
