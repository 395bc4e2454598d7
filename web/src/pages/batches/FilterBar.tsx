import { ChoiceFilter } from "../../parts/ChoiceFilter.tsx";
import { FilterInput } from "../../parts/FilterInput.tsx";
import { FilterShell } from "../../parts/FilterShell.tsx";
import { CreatedFilter } from "./CreatedFilter.tsx";
import { FILTERS } from "./filters.ts";

const STATES = [
  { words: "Running", choices: ["validating", "in_progress", "finalizing", "cancelling"] },
  { words: "Ended", choices: ["completed", "failed", "expired", "cancelled"] },
];

export function FilterBar() {
  const search = (
    <FilterInput name="search" label="Search" placeholder="Name, id, model, metadata" icon="search" width="100%" />
  );
  return (
    <FilterShell label="Batches" names={FILTERS} search={search} searchName="search">
      <ChoiceFilter name="status" any="Any state" many="states" groups={STATES} />
      <FilterInput name="model" label="Model" placeholder="Model, * for any part" width="11rem" />
      <FilterInput name="meta" label="Metadata" placeholder="key=value" width="9rem" />
      <CreatedFilter />
    </FilterShell>
  );
}
