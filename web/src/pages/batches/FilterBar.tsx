import { Button, Collapse, Select, TextInput } from "@mantine/core";
import { useDisclosure, useMediaQuery } from "@mantine/hooks";
import { setQuery, useRoute } from "../../app/useRoute.ts";
import { FilterInput } from "../../parts/FilterInput.tsx";
import { Icon } from "../../parts/Icon.tsx";
import { FILTERS, isNarrowed, SPANS } from "./filters.ts";
import classes from "./FilterBar.module.css";
import { StateFilter } from "./StateFilter.tsx";

const DATES = "dates";

/** On a phone only the search is always there. */
export function FilterBar() {
  const { query } = useRoute();
  const [open, { toggle }] = useDisclosure(FILTERS.some((name) => name !== "search" && query.has(name)));
  const small = useMediaQuery("(max-width: 47.99em)", false, { getInitialValueInEffect: false });
  const clear = () => setQuery(Object.fromEntries(FILTERS.map((name) => [name, null])));
  const rest = (
    <div className={classes.rest}>
      <StateFilter value={query.get("status")} onChange={(status) => setQuery({ status })} />
      <FilterInput name="model" label="Model" placeholder="Model, * for any part" width="11rem" />
      <FilterInput name="meta" label="Metadata" placeholder="key=value" width="9rem" />
      <CreatedFilter />
      {isNarrowed(query) && (
        <Button variant="subtle" color="gray" c="dimmed" size="compact-sm" onClick={clear}>
          Clear
        </Button>
      )}
    </div>
  );
  return (
    <div className={classes.bar} role="search" aria-label="Batches">
      <div className={classes.first}>
        <FilterInput name="search" label="Search" placeholder="Name, id, model, metadata" icon="search" width="100%" />
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

function CreatedFilter() {
  const { query } = useRoute();
  const dates = query.has("from") || query.has("to");
  const choose = (value: string | null) => {
    if (value === DATES) setQuery({ since: null, from: new Date().toISOString().slice(0, 10) });
    else setQuery({ since: value, from: null, to: null });
  };
  return (
    <>
      <Select
        aria-label="Created"
        placeholder="Any time"
        w="9rem"
        clearable
        value={dates ? DATES : query.get("since")}
        onChange={choose}
        data={[
          ...Object.entries(SPANS).map(([value, { words }]) => ({ value, label: words })),
          { value: DATES, label: "Between days" },
        ]}
      />
      {dates &&
        (["from", "to"] as const).map((name) => (
          <TextInput
            key={name}
            type="date"
            aria-label={name === "from" ? "First day" : "Last day"}
            value={query.get(name) ?? ""}
            onChange={(event) => setQuery({ [name]: event.currentTarget.value })}
          />
        ))}
    </>
  );
}
