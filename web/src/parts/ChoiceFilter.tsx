import { Button, Menu } from "@mantine/core";
import { setQuery, useRoute } from "../app/useRoute.ts";
import { Icon } from "./Icon.tsx";

export interface ChoiceGroup {
  /** Chosen as a whole; null: only one by one. */
  words: string | null;
  choices: readonly string[];
}

interface Props {
  /** In the address, as a comma list. */
  name: string;
  /** For when nothing is chosen, and for when several are. */
  any: string;
  many: string;
  groups: readonly ChoiceGroup[];
}

function worded(choice: string): string {
  return choice.replaceAll("_", " ");
}

export function ChoiceFilter({ name, any, many, groups }: Props) {
  const { query } = useRoute();
  const chosen = new Set((query.get(name) ?? "").split(",").filter(Boolean));
  const flip = (choices: readonly string[]) => {
    const next = new Set(chosen);
    const all = choices.every((choice) => next.has(choice));
    for (const choice of choices) {
      if (all) next.delete(choice);
      else next.add(choice);
    }
    setQuery({ [name]: [...next].join(",") || null });
  };
  const [first] = chosen;
  const words = first === undefined ? any : chosen.size === 1 ? worded(first) : `${chosen.size} ${many}`;
  return (
    <Menu closeOnItemClick={false} position="bottom-start" width={190}>
      <Menu.Target>
        <Button variant="default" size="sm" fw={400} rightSection={<Icon name="filter" size={14} />}>
          {words}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {groups.map((group, index) => (
          <div key={group.words ?? index}>
            {group.words !== null && (
              <Menu.Item fw={600} onClick={() => flip(group.choices)}>
                {group.words}
              </Menu.Item>
            )}
            {group.choices.map((choice) => (
              <Menu.CheckboxItem key={choice} checked={chosen.has(choice)} onChange={() => flip([choice])}>
                {worded(choice)}
              </Menu.CheckboxItem>
            ))}
          </div>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
