import { Select, TextInput } from "@mantine/core";
import { setQuery, useRoute } from "../../app/useRoute.ts";
import { SPANS } from "./filters.ts";

const DATES = "dates";

/** A span up to now, or days. */
export function CreatedFilter() {
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
