import { Button } from "@mantine/core";
import { ApiError } from "../api/client.ts";
import { Notice } from "./Notice.tsx";

/** What went wrong, in the server's words, with the id that its log knows it by. */
export function ErrorNotice({ error, again }: { error: unknown; again?: () => void }) {
  if (error == null) return null;
  const known = error instanceof ApiError ? error : null;
  return (
    <Notice tone="error">
      <div>{wordsOf(error)}</div>
      {known?.requestId && known.status >= 500 && <div className="dim mono">{known.requestId}</div>}
      {again && (
        <Button variant="default" size="compact-xs" mt={6} onClick={again}>
          Try again
        </Button>
      )}
    </Notice>
  );
}

function wordsOf(error: unknown): string {
  if (error instanceof ApiError && error.unsupported) return "This server is too old for that.";
  return error instanceof Error ? error.message : String(error);
}
