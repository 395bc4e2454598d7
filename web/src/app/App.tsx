import { useEffect } from "react";
import { Shell } from "./Shell.tsx";
import { SignIn } from "../pages/SignIn.tsx";
import { queries } from "./queries.ts";
import { Router } from "./Router.tsx";
import { useSession } from "./useMe.ts";

/** Nothing is asked of the server, and nothing of what it said is kept, while nobody is signed in. */
export function App() {
  const { key } = useSession();
  useEffect(() => {
    if (key === null) queries.clear();
  }, [key]);
  if (key === null) return <SignIn />;
  return (
    <Shell>
      <Router />
    </Shell>
  );
}
