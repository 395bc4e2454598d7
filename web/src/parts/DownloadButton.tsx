import { Button } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useApi } from "../app/useApi.ts";
import { download } from "../lib/download.ts";
import { bytes } from "../lib/format.ts";
import { Icon } from "./Icon.tsx";
import { Notice } from "./Notice.tsx";

/** A file that a batch reads or made; files are deleted, or expire, at their own time. */
export function DownloadButton({ fileId, words }: { fileId: string; words: string }) {
  const api = useApi();
  const { data: file, error } = useQuery({
    queryKey: ["file", api.tenant, fileId],
    queryFn: ({ signal }) => api.file(fileId, signal),
    staleTime: 60_000,
    retry: false,
  });
  const saving = useMutation({
    mutationFn: async () => {
      if (file) await download(api, fileId, file.filename, file.bytes);
    },
  });
  if (error) return <span className="dim">{words}: no longer there</span>;
  return (
    <>
      <Button
        variant="default"
        leftSection={<Icon name="download" size={14} />}
        disabled={file === undefined}
        loading={saving.isPending}
        onClick={() => saving.mutate()}
      >
        {words} {file && <span className="dim">&nbsp;{bytes(file.bytes)}</span>}
      </Button>
      {saving.error && saving.error.name !== "AbortError" && <Notice tone="error">{saving.error.message}</Notice>}
    </>
  );
}
