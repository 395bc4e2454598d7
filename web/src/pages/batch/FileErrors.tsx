import { Table } from "@mantine/core";
import type { BatchError } from "../../api/types.ts";
import { plural } from "../../lib/format.ts";
import { Panel } from "../../parts/Panel.tsx";

/** Of a batch that was refused: which lines of its file are wrong, and how. */
export function FileErrors({ errors }: { errors: BatchError[] }) {
  return (
    <Panel title={`${plural(errors.length, "error")} in the file: nothing was sent`}>
      <Table fz="sm" verticalSpacing={5} horizontalSpacing="xs">
        <Table.Thead>
          <Table.Tr>
            <Table.Th w={70}>Line</Table.Th>
            <Table.Th>What is wrong</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {errors.map(({ line, code, message }, index) => (
            <Table.Tr key={index}>
              <Table.Td>{line ?? "–"}</Table.Td>
              <Table.Td>
                {message} <span className="dim mono">{code}</span>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Panel>
  );
}
