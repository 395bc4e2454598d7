import { Button, MultiSelect, Select } from "@mantine/core";
import { setQuery, useRoute } from "../../app/useRoute.ts";
import { FilterInput } from "../../parts/FilterInput.tsx";
import { FILTERS, isNarrowed, type LineQuery, OUTCOMES, REASONS } from "./filters.ts";
import classes from "./LineFilterBar.module.css";

export function LineFilterBar({ order }: { order: LineQuery["order"] }) {
  const { query } = useRoute();
  const clear = () => setQuery(Object.fromEntries(FILTERS.map((name) => [name, null])));
  return (
    <div className={classes.bar} role="search" aria-label="Lines">
      <div className={classes.search}>
        <FilterInput name="text" label="Search" placeholder="Text of request or answer" icon="search" width="100%" />
      </div>
      <FilterInput name="custom_id" label="custom_id" placeholder="custom_id" width="9rem" />
      <Choices name="outcome" label="Outcome" options={OUTCOMES} />
      <Choices name="finish_reason" label="Finish reason" options={REASONS} />
      <FilterInput name="code" label="Error" placeholder="Error or status" width="9rem" />
      <Select
        aria-label="Order"
        w="9.5rem"
        allowDeselect={false}
        value={order}
        onChange={(value) => setQuery({ order: value })}
        data={[
          { value: "input", label: "As in the file" },
          { value: "completion", label: "As they ended" },
        ]}
      />
      {isNarrowed(query) && (
        <Button variant="subtle" color="gray" c="dimmed" size="compact-sm" onClick={clear}>
          Clear
        </Button>
      )}
    </div>
  );
}

function Choices({ name, label, options }: { name: string; label: string; options: string[] }) {
  const { query } = useRoute();
  const chosen = (query.get(name) ?? "").split(",").filter(Boolean);
  return (
    <MultiSelect
      aria-label={label}
      placeholder={chosen.length > 0 ? undefined : label}
      miw="9rem"
      size="sm"
      value={chosen}
      onChange={(values) => setQuery({ [name]: values.join(",") || null })}
      data={options.map((value) => ({ value, label: value.replace("_", " ") }))}
      comboboxProps={{ width: 180, position: "bottom-start" }}
    />
  );
}
