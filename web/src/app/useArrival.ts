import { type RefObject, useEffect, useLayoutEffect, useRef } from "react";

/** How far each address was scrolled when it was left. */
const places = new Map<string, number>();

/** Readers and keyboards begin where the new page does; who goes back finds the place that they came from. */
export function useArrival(path: string, main: RefObject<HTMLElement | null>) {
  const former = useRef(path);
  useEffect(() => {
    history.scrollRestoration = "manual"; // the browser tries before the rows are there
    const note = () => places.set(location.hash, window.scrollY);
    window.addEventListener("scroll", note, { passive: true });
    return () => window.removeEventListener("scroll", note);
  }, []);
  useLayoutEffect(() => {
    if (former.current === path) return;
    former.current = path;
    main.current?.focus({ preventScroll: true });
    const state = history.state as { seen?: boolean } | null;
    const place = state?.seen ? (places.get(location.hash) ?? 0) : 0;
    history.replaceState({ ...state, seen: true }, "");
    window.scrollTo(0, place);
  }, [path, main]);
  useEffect(() => {
    history.replaceState({ ...(history.state as object | null), seen: true }, "");
  }, []);
}
