/** A file of the server's, saved by the browser: the key cannot stand in a link. */

import type { Api } from "../api/api.ts";

/** Larger ones go to the disk as they come, where the browser can. */
const IN_MEMORY_BYTES = 128 * 1024 * 1024;

interface Picker {
  showSaveFilePicker?: (options: { suggestedName: string }) => Promise<{ createWritable(): Promise<WritableStream> }>;
}

export async function download(api: Api, fileId: string, filename: string, bytes: number): Promise<void> {
  const pick = (window as Picker).showSaveFilePicker;
  if (bytes > IN_MEMORY_BYTES && pick) {
    const place = await pick({ suggestedName: filename });
    const reply = await api.fileContent(fileId);
    await reply.body?.pipeTo(await place.createWritable());
    return;
  }
  const reply = await api.fileContent(fileId);
  save(await reply.blob(), filename);
}

export function save(blob: Blob, filename: string) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = filename;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
