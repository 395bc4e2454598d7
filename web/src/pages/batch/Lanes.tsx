import { Table } from "@mantine/core";
import type { Lane } from "../../api/types.ts";
import { count, money } from "../../lib/format.ts";
import { Panel } from "../../parts/Panel.tsx";
import classes from "./Lanes.module.css";

/** Where the lines go: each model at each provider, in each way to run it. */
export function Lanes({ lanes, final }: { lanes: Lane[]; final: boolean }) {
  if (lanes.length === 0) return null;
  return (
    <Panel title="Lanes">
      <div className={classes.scroll} tabIndex={0} role="region" aria-label="Table of lanes">
        <Table fz="sm" miw={final ? 420 : 640} verticalSpacing={5} horizontalSpacing="xs">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Model</Table.Th>
              <Table.Th>Provider</Table.Th>
              <Table.Th>Mode</Table.Th>
              {!final && <Table.Th>State</Table.Th>}
              <Table.Th ta="right">Done</Table.Th>
              {!final && (
                <>
                  <Table.Th ta="right">In flight</Table.Th>
                  <Table.Th ta="right">Limit</Table.Th>
                  <Table.Th ta="right">Retrying</Table.Th>
                  <Table.Th ta="right">Waiting</Table.Th>
                </>
              )}
              <Table.Th ta="right">Cost</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {lanes.map((lane) => (
              <Table.Tr key={`${lane.provider} ${lane.model} ${lane.mode}`}>
                <Table.Td>{lane.model}</Table.Td>
                <Table.Td>{lane.provider}</Table.Td>
                <Table.Td>{lane.mode}</Table.Td>
                {!final && <Table.Td>{lane.state}</Table.Td>}
                <Table.Td ta="right">{count(lane.done)}</Table.Td>
                {!final && (
                  <>
                    <Table.Td ta="right">{count(lane.in_flight + lane.in_job)}</Table.Td>
                    <Table.Td ta="right">{count(lane.limit)}</Table.Td>
                    <Table.Td ta="right">{count(lane.retrying)}</Table.Td>
                    <Table.Td ta="right">{count(lane.waiting)}</Table.Td>
                  </>
                )}
                <Table.Td ta="right">{money(lane.cost)}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </div>
    </Panel>
  );
}
