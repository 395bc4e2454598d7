import { useEffect, useState } from "react";

/** Unix seconds, a new number every `everyMs` while the page is seen. */
export function useNow(everyMs = 1_000): number {
  const [now, setNow] = useState(() => Date.now() / 1_000);
  useEffect(() => {
    const tick = () => {
      if (!document.hidden) setNow(Date.now() / 1_000);
    };
    const timer = setInterval(tick, everyMs);
    document.addEventListener("visibilitychange", tick);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", tick);
    };
  }, [everyMs]);
  return now;
}
