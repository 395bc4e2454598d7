import { ActionIcon, Tooltip } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import type { FileObject } from "../../api/types.ts";
import { useApi } from "../../app/useApi.ts";
import { useLink } from "../../app/useRoute.ts";
import { download } from "../../lib/download.ts";
import { age, bytes, count, duration } from "../../lib/format.ts";
import { CopyButton } from "../../parts/CopyButton.tsx";
import { Icon, type IconName } from "../../parts/Icon.tsx";
import classes from "./Files.module.css";

/** The names of a batch's files differ at their ends, where a telephone cuts them. */
function roleOf({ purpose, filename }: FileObject): string {
  if (purpose === "batch_output") return filename.endsWith("_error.jsonl") ? "errors" : "answers";
  return purpose === "batch" ? "input" : purpose;
}

export function FileRow({ file, now, onDelete }: { file: FileObject; now: number; onDelete: () => void }) {
  const api = useApi();
  const link = useLink();
  const saving = useMutation({ mutationFn: () => download(api, file.id, file.filename, file.bytes) });
  return (
    <div role="row" className={classes.row}>
      <div role="cell" className={classes.name}>
        <div className={classes.title} title={file.filename}>
          <span className="cut">{file.filename}</span> <span className="dim">{roleOf(file)}</span>
        </div>
        <div className={`mono dim cut ${classes.id}`}>
          {file.id}
          <CopyButton text={file.id} of="the file's id" />
        </div>
        {saving.error && saving.error.name !== "AbortError" && <div role="alert">{saving.error.message}</div>}
      </div>
      <div role="cell" className="num">
        {file.num_rows != null && (
          <>
            {count(file.num_rows)} <span className={classes.unit}>lines</span>
          </>
        )}
      </div>
      <div role="cell" className="num">
        {bytes(file.bytes)}
      </div>
      <div role="cell" className="num">
        {age(now - file.created_at)} <span className={classes.unit}>old</span>
      </div>
      <div role="cell" className="num">
        {file.expires_at === null ? "never" : `in ${duration(file.expires_at - now)}`}
      </div>
      <div role="cell" className={classes.actions}>
        {file.purpose === "batch" && (
          <Action words={`New batch from ${file.filename}`} icon="plus" href={link(["new"], { file: file.id })} />
        )}
        <Action words={`Download ${file.filename}`} icon="download" loading={saving.isPending} onClick={() => saving.mutate()} />
        <Action words={`Delete ${file.filename}`} icon="trash" onClick={onDelete} />
      </div>
    </div>
  );
}

interface ActionProps {
  words: string;
  icon: IconName;
  href?: string;
  loading?: boolean;
  onClick?: () => void;
}

function Action({ words, icon, href, loading, onClick }: ActionProps) {
  const looks = { variant: "subtle", color: "gray", "aria-label": words } as const;
  return (
    <Tooltip label={words}>
      {href === undefined ? (
        <ActionIcon {...looks} loading={loading ?? false} onClick={onClick}>
          <Icon name={icon} />
        </ActionIcon>
      ) : (
        <ActionIcon {...looks} component="a" href={href}>
          <Icon name={icon} />
        </ActionIcon>
      )}
    </Tooltip>
  );
}
