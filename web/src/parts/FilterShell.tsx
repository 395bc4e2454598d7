import { Button, Collapse } from "@mantine/core";
import { useDisclosure, useMediaQuery } from "@mantine/hooks";
import type { ReactNode } from "react";
import { setQuery, useRoute } from "../app/useRoute.ts";
import classes from "./FilterShell.module.css";
import { Icon } from "./Icon.tsx";

interface Props {
  label: string;
  /** The search, which is always there, and its name in the address. */
  search: ReactNode;
  searchName: string;
  /** All of the list's filters in the address. */
  names: readonly string[];
  children: ReactNode;
}

/** The row of filters above a list. On a phone all but the search fold away. */
export function FilterShell({ label, search, searchName, names, children }: Props) {
  const { query } = useRoute();
  const [open, { toggle }] = useDisclosure(names.some((name) => name !== searchName && query.has(name)));
  const small = useMediaQuery("(max-width: 47.99em)", false, { getInitialValueInEffect: false });
  const narrowed = names.some((name) => query.has(name));
  const clear = () => setQuery(Object.fromEntries(names.map((name) => [name, null])));
  const rest = (
    <div className={classes.rest}>
      {children}
      {narrowed && (
        <Button variant="subtle" color="gray" c="dimmed" size="compact-sm" onClick={clear}>
          Clear
        </Button>
      )}
    </div>
  );
  return (
    <div className={classes.bar} role="search" aria-label={label}>
      <div className={classes.first}>
        {search}
        {small && (
          <Button
            variant="default"
            size="sm"
            flex="none"
            aria-expanded={open}
            leftSection={<Icon name="filter" />}
            onClick={toggle}
          >
            Filters
          </Button>
        )}
      </div>
      {small ? <Collapse expanded={open}>{rest}</Collapse> : rest}
    </div>
  );
}
