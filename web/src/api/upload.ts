/** Uploads tell how far they are, which `fetch` does not. */

import { session } from "../lib/session.ts";
import { errorOf, pathOf, type Query, unreachable } from "./client.ts";

interface Upload {
  query: Query;
  file: File;
  onProgress: (share: number) => void;
  signal: AbortSignal;
}

export function upload<T>(path: string, { query, file, onProgress, signal }: Upload): Promise<T> {
  const form = new FormData();
  form.append("purpose", "batch");
  form.append("file", file, file.name);
  const request = new XMLHttpRequest();
  const { key } = session.get();
  return new Promise<T>((resolve, reject) => {
    const stop = () => request.abort();
    signal.addEventListener("abort", stop, { once: true });
    request.onloadend = () => signal.removeEventListener("abort", stop);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new DOMException("The upload was stopped.", "AbortError"));
    request.onload = async () => {
      if (request.status >= 200 && request.status < 300) {
        resolve(JSON.parse(request.responseText) as T);
        return;
      }
      if (request.status === 401) session.refused(key);
      const id = request.getResponseHeader("x-request-id");
      reject(await errorOf(new Response(request.responseText, { status: request.status, headers: id ? { "x-request-id": id } : {} })));
    };
    request.open("POST", pathOf(path, query));
    if (key) request.setRequestHeader("Authorization", `Bearer ${key}`);
    request.send(form);
  });
}
