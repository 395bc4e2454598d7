import { useQuery } from "@tanstack/react-query";
import { useCallback, useRef, useState } from "react";
import { isUnsupported } from "../../api/client.ts";
import type { FileCheck, FileObject } from "../../api/types.ts";
import { useApi } from "../../app/useApi.ts";
import { endpointOf } from "../../lib/lineEdits.ts";
import { ENDPOINTS } from "../../lib/newBatch.ts";

/** What an older server, which checks no files, has to say. */
const UNCHECKED = (file: FileObject): FileCheck => ({
  object: "file.check",
  file_id: file.id,
  lines: file.num_rows ?? 0,
  error_count: 0,
  errors: [],
  groups: [],
});

/** A file on its way to a batch: chosen here, kept by the server, and checked there for one endpoint. */
export function useDraft() {
  const api = useApi();
  const [local, setLocal] = useState<File>();
  const [stored, setStored] = useState<FileObject>();
  const [progress, setProgress] = useState<number | null>(null);
  const [failure, setFailure] = useState<unknown>();
  const [endpoint, setEndpoint] = useState<string>(ENDPOINTS[0]);
  const running = useRef<AbortController>(null);

  const forget = useCallback(() => {
    running.current?.abort();
    setLocal(undefined);
    setStored(undefined);
    setProgress(null);
    setFailure(undefined);
  }, []);

  const choose = useCallback(
    async (file: File) => {
      running.current?.abort();
      const turn = new AbortController();
      running.current = turn;
      setLocal(file);
      setFailure(undefined);
      setProgress(0);
      try {
        const named = await endpointOf(file);
        if (named !== null && ENDPOINTS.some((known) => known === named)) setEndpoint(named);
        setStored(await api.upload(file, setProgress, turn.signal));
      } catch (error) {
        if (!turn.signal.aborted) setFailure(error);
      } finally {
        if (running.current === turn) setProgress(null);
      }
    },
    [api],
  );

  const adopt = useCallback(
    async (fileId: string) => {
      try {
        setStored(await api.file(fileId));
      } catch (error) {
        setFailure(error);
      }
    },
    [api],
  );

  const checked = useQuery({
    queryKey: ["check", api.tenant, stored?.id, endpoint],
    queryFn: async ({ signal }) => {
      if (stored === undefined) throw new Error("no file");
      try {
        return await api.check(stored.id, endpoint, signal);
      } catch (error) {
        if (isUnsupported(error)) return UNCHECKED(stored);
        throw error;
      }
    },
    enabled: stored !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
  });

  return {
    local,
    stored,
    progress,
    endpoint,
    setEndpoint,
    choose,
    adopt,
    forget,
    check: checked.data,
    error: failure ?? checked.error,
  };
}
