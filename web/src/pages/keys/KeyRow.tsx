import { Button } from "@mantine/core";
import type { Key } from "../../api/types.ts";
import { age } from "../../lib/format.ts";

export function KeyRow({ of, mine, now, onRevoke }: { of: Key; mine: boolean; now: number; onRevoke: () => void }) {
  return (
    <tr>
      <td>
        {of.label || <span className="dim">no label</span>}
        <div className="mono dim">…{of.tail}</div>
      </td>
      <td>{of.tenant}</td>
      <td>{of.role}</td>
      <td>{age(now - of.created_at)}</td>
      <td>{of.revoked_at === null ? mine ? "valid, yours" : "valid" : <span className="dim">revoked {age(now - of.revoked_at)} ago</span>}</td>
      <td>
        {of.revoked_at === null && (
          <Button variant="default" size="compact-xs" aria-label={`Revoke ${of.label || of.tail}`} onClick={onRevoke}>
            Revoke
          </Button>
        )}
      </td>
    </tr>
  );
}
