import { Button, Group, Textarea } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { BatchError, FileCheck } from "../../api/types.ts";
import { count, plural } from "../../lib/format.ts";
import { edited, linesOf } from "../../lib/lineEdits.ts";
import { ErrorNotice } from "../../parts/ErrorNotice.tsx";
import { Notice } from "../../parts/Notice.tsx";
import { Panel } from "../../parts/Panel.tsx";
import classes from "./NewBatch.module.css";

const SHOWN = 100;
const TEXT_CHARS = 240;

interface Props {
  check: FileCheck;
  /** Absent for a file that the server had already: it cannot be mended here. */
  file: File | undefined;
  onFixed: (file: File) => void;
  busy: boolean;
}

/** Every bad line with its number and text, to be corrected here or left out. */
export function LineErrors({ check, file, onFixed, busy }: Props) {
  const [edits, setEdits] = useState<ReadonlyMap<number, string | null>>(new Map());
  const [open, setOpen] = useState<number | null>(null);
  const lines = new Set(check.errors.flatMap((error) => (error.line === null ? [] : [error.line])));
  const { data: texts } = useQuery({
    queryKey: ["bad lines", check.file_id, check.error_count],
    queryFn: () => (file ? linesOf(file, lines) : new Map<number, string>()),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const mend = useMutation({
    mutationFn: async (chosen: ReadonlyMap<number, string | null>) => {
      if (file) onFixed(await edited(file, chosen));
    },
  });
  const change = (line: number, text: string | null | undefined) => {
    const next = new Map(edits);
    if (text === undefined) next.delete(line);
    else next.set(line, text);
    setEdits(next);
    setOpen(null);
  };
  const withoutBad = () => mend.mutate(new Map([...lines].map((line) => [line, edits.get(line) ?? null])));
  const shown = check.errors.slice(0, SHOWN);
  return (
    <Panel title={`${plural(check.error_count, "error")}: this file cannot run yet`}>
      {file && lines.size > 0 && (
        <Group gap="xs">
          <Button disabled={edits.size === 0} loading={mend.isPending || busy} onClick={() => mend.mutate(edits)}>
            Check again{edits.size > 0 && ` with ${plural(edits.size, "correction")}`}
          </Button>
          <Button variant="default" loading={mend.isPending || busy} onClick={withoutBad}>
            Leave out all bad lines
          </Button>
        </Group>
      )}
      {!file && <Notice>Choose the file again to correct its lines here, or correct it and upload it anew.</Notice>}
      <ErrorNotice error={mend.error} />
      <ul className={classes.errors}>
        {shown.map((error, index) => (
          <LineError
            key={`${error.line}-${index}`}
            error={error}
            text={error.line === null ? undefined : texts?.get(error.line)}
            edit={error.line === null ? undefined : edits.get(error.line)}
            open={error.line !== null && open === error.line}
            onOpen={() => setOpen(error.line)}
            onChange={(text) => error.line !== null && change(error.line, text)}
          />
        ))}
      </ul>
      {check.error_count > shown.length && (
        <p className="dim">and {count(check.error_count - shown.length)} more, which are told once these are mended.</p>
      )}
    </Panel>
  );
}

interface LineErrorProps {
  error: BatchError;
  text: string | undefined;
  edit: string | null | undefined;
  open: boolean;
  onOpen: () => void;
  onChange: (text: string | null | undefined) => void;
}

function LineError({ error, text, edit, open, onOpen, onChange }: LineErrorProps) {
  const [draft, setDraft] = useState<string>();
  const mended = edit ?? text ?? "";
  return (
    <li>
      <div className={classes.what}>
        <b className="num">{error.line === null ? "File" : `Line ${count(error.line)}`}</b>
        <span>
          {error.message} <code>{error.code}</code>
        </span>
        {text !== undefined && !open && (
          <Group gap={6} wrap="nowrap">
            <Button variant="default" size="compact-xs" aria-label={`Edit line ${error.line}`} onClick={onOpen}>
              Edit
            </Button>
            {edit === undefined ? (
              <Button variant="default" size="compact-xs" aria-label={`Leave out line ${error.line}`} onClick={() => onChange(null)}>
                Leave out
              </Button>
            ) : (
              <Button variant="default" size="compact-xs" aria-label={`Undo line ${error.line}`} onClick={() => onChange(undefined)}>
                Undo
              </Button>
            )}
          </Group>
        )}
      </div>
      {open ? (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            onChange(draft ?? mended);
          }}
        >
          <Textarea
            mt={6}
            aria-label={`Text of line ${error.line}`}
            autosize
            minRows={2}
            maxRows={14}
            data-autofocus
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
            value={draft ?? mended}
            onChange={(event) => setDraft(event.currentTarget.value)}
          />
          <Group gap={6} mt={6}>
            <Button type="submit" size="compact-sm">
              Keep
            </Button>
            <Button variant="default" size="compact-sm" onClick={() => onChange(edit)}>
              Close
            </Button>
          </Group>
        </form>
      ) : (
        text !== undefined && (
          <span className={`mono cut ${classes.text} ${edit === null ? classes.left : ""}`}>{mended.slice(0, TEXT_CHARS)}</span>
        )
      )}
    </li>
  );
}
