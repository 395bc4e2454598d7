import { Button, Menu } from "@mantine/core";
import type { BatchStatus } from "../../api/types.ts";
import { Icon } from "../../parts/Icon.tsx";

const GROUPS: { words: string; states: BatchStatus[] }[] = [
  { words: "Running", states: ["validating", "in_progress", "finalizing", "cancelling"] },
  { words: "Ended", states: ["completed", "failed", "expired", "cancelled"] },
];

function worded(state: string): string {
  return state.replace("_", " ");
}

/** Any of eight states, or a whole group of them at once. */
export function StateFilter({ value, onChange }: { value: string | null; onChange: (value: string | null) => void }) {
  const chosen = new Set((value ?? "").split(",").filter(Boolean));
  const flip = (states: BatchStatus[]) => {
    const next = new Set(chosen);
    const all = states.every((state) => next.has(state));
    for (const state of states) all ? next.delete(state) : next.add(state);
    onChange([...next].join(",") || null);
  };
  const [first] = chosen;
  const words = first === undefined ? "Any state" : chosen.size === 1 ? worded(first) : `${chosen.size} states`;
  return (
    <Menu closeOnItemClick={false} position="bottom-start" width={190}>
      <Menu.Target>
        <Button variant="default" size="sm" fw={400} rightSection={<Icon name="filter" size={14} />}>
          {words}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {GROUPS.map((group) => (
          <div key={group.words}>
            <Menu.Item fw={600} onClick={() => flip(group.states)}>
              {group.words}
            </Menu.Item>
            {group.states.map((state) => (
              <Menu.Item
                key={state}
                pl="lg"
                role="menuitemcheckbox"
                aria-checked={chosen.has(state)}
                rightSection={chosen.has(state) ? <Icon name="check" size={14} /> : null}
                onClick={() => flip([state])}
              >
                {worded(state)}
              </Menu.Item>
            ))}
          </div>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
