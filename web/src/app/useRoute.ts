import { useSyncExternalStore } from "react";
import { type Changes, changed, hashOf, parse, type Route } from "../lib/route.ts";

let seen = window.location.hash;
let route = parse(seen);

function current(): Route {
  if (window.location.hash !== seen) {
    seen = window.location.hash;
    route = parse(seen);
  }
  return route;
}

function subscribe(listener: () => void) {
  window.addEventListener("hashchange", listener);
  return () => window.removeEventListener("hashchange", listener);
}

/** The same object for as long as the address is the same. */
export function useRoute(): Route {
  return useSyncExternalStore(subscribe, current);
}

export function go(hash: string) {
  window.location.hash = hash;
}

/** Changes the query in place: filters should not fill the history. */
export function setQuery(changes: Changes) {
  const { path, query } = current();
  history.replaceState(history.state, "", hashOf(path, changed(query, changes)));
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

/** A link within the dashboard; the tenant that an admin acts for goes along. */
export function useLink() {
  const tenant = useRoute().query.get("tenant");
  return (path: readonly string[], query: Changes = {}) => hashOf(path, { tenant, ...query });
}
