import { type MouseEvent, type ReactNode, useRef } from "react";
import { AccountMenu } from "./AccountMenu.tsx";
import { Brand } from "./Brand.tsx";
import { Navigation } from "./Navigation.tsx";
import { NewBatchLink } from "./NewBatchLink.tsx";
import classes from "./Shell.module.css";
import { TenantSwitch } from "./TenantSwitch.tsx";
import { ThemeSwitch } from "./ThemeSwitch.tsx";
import { useArrival } from "./useArrival.ts";
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
