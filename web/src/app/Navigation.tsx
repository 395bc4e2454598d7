import { Icon, type IconName } from "../parts/Icon.tsx";
import classes from "./Navigation.module.css";
import { useMe } from "./useMe.ts";
import { useLink, useRoute } from "./useRoute.ts";

const PLACES: { path: string; words: string; icon: IconName; admin?: boolean }[] = [
  { path: "batches", words: "Batches", icon: "batches" },
  { path: "files", words: "Files", icon: "file" },
  { path: "providers", words: "Providers", icon: "providers", admin: true },
  { path: "keys", words: "Keys", icon: "keys", admin: true },
];

/** What only admins may see is shown to them alone. */
export function Navigation() {
  const link = useLink();
  const { path } = useRoute();
  const me = useMe();
  const here = path[0] ?? "batches";
  return (
    <nav className={classes.places} aria-label="Main">
      {PLACES.filter((place) => !place.admin || me?.role === "admin").map((place) => (
        <a
          key={place.path}
          href={link([place.path])}
          className={classes.place}
          aria-current={here === place.path ? "page" : undefined}
        >
          <span className={classes.icon}>
            <Icon name={place.icon} size={20} />
          </span>
          {place.words}
        </a>
      ))}
    </nav>
  );
}
