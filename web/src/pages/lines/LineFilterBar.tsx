import { Select } from "@mantine/core";
import { setQuery } from "../../app/useRoute.ts";
import { ChoiceFilter } from "../../parts/ChoiceFilter.tsx";
import { FilterInput } from "../../parts/FilterInput.tsx";
import { FilterShell } from "../../parts/FilterShell.tsx";
import { FILTERS, type LineQuery, OUTCOMES, REASONS } from "./filters.ts";

export function LineFilterBar({ order }: { order: LineQuery["order"] }) {
  const search = (
    <FilterInput name="text" label="Search" placeholder="Text of request or answer" icon="search" width="100%" />
  );
  return (
    <FilterShell label="Lines" names={FILTERS} search={search} searchName="text">
      <FilterInput name="custom_id" label="custom_id" placeholder="custom_id" width="9rem" />
      <ChoiceFilter name="outcome" any="Any outcome" many="outcomes" groups={[{ words: null, choices: OUTCOMES }]} />
      <ChoiceFilter name="finish_reason" any="Any reason" many="reasons" groups={[{ words: null, choices: REASONS }]} />
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
    </FilterShell>
  );
}
