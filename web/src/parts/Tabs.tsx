import classes from "./Tabs.module.css";

/** Links, since each part has an address. */
export function Tabs({ label, tabs }: { label: string; tabs: { words: string; href: string; here: boolean }[] }) {
  return (
    <nav className={classes.tabs} aria-label={label}>
      {tabs.map(({ words, href, here }) => (
        <a key={words} href={href} aria-current={here ? "page" : undefined}>
          {words}
        </a>
      ))}
    </nav>
  );
}
