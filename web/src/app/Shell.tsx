import { type MouseEvent, type ReactNode, useEffect, useRef } from "react";
import { AccountMenu } from "./AccountMenu.tsx";
import { Brand } from "./Brand.tsx";
import { Navigation } from "./Navigation.tsx";
import { NewBatchLink } from "./NewBatchLink.tsx";
import classes from "./Shell.module.css";
import { TenantSwitch } from "./TenantSwitch.tsx";
import { ThemeSwitch } from "./ThemeSwitch.tsx";
import { useRoute } from "./useRoute.ts";

/** What stands around every page: on a phone the navigation is at the bottom, within reach of a thumb. */
export function Shell({ children }: { children: ReactNode }) {
  const main = useRef<HTMLElement>(null);
  useArrival(useRoute().path.join("/"), main);
  const skip = (event: MouseEvent) => {
    event.preventDefault(); // the address after # is the page's
    main.current?.focus();
  };
  return (
    <>
      <a href="#main" className={classes.skip} onClick={skip}>
        Skip to the content
      </a>
      <header className={classes.header}>
        <Brand />
        <Navigation />
        <div className={classes.side}>
          <TenantSwitch />
          <NewBatchLink />
          <ThemeSwitch />
          <AccountMenu />
        </div>
      </header>
      <main ref={main} id="main" tabIndex={-1} className={classes.main}>
        {children}
      </main>
    </>
  );
}

/** Readers and keyboards begin where the new page does; going back keeps the place that the browser remembers. */
function useArrival(path: string, main: React.RefObject<HTMLElement | null>) {
  const former = useRef(path);
  useEffect(() => {
    if (former.current === path) return;
    former.current = path;
    main.current?.focus({ preventScroll: true });
    const state = history.state as { seen?: boolean } | null;
    if (state?.seen) return;
    history.replaceState({ ...state, seen: true }, "");
    window.scrollTo(0, 0);
  }, [path, main]);
}
