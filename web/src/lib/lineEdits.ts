/** Corrections of single lines of a JSONL file, without ever holding the file: parts that stay are slices of it. */

const NEWLINE = 0x0a;

/** By line number, from 1: the text that stands there instead, or null for a line that is left out. */
export type Edits = ReadonlyMap<number, string | null>;

export interface Span {
  start: number;
  /** Behind the line, without its line end. */
  end: number;
}

/** Where these lines stand, as bytes; what is not there is left out. */
export async function spansOf(file: Blob, wanted: ReadonlySet<number>): Promise<Map<number, Span>> {
  const found = new Map<number, Span>();
  const last = Math.max(0, ...wanted);
  let [line, start, at] = [1, 0, 0];
  const end = (stop: number) => {
    if (wanted.has(line)) found.set(line, { start, end: stop });
    line += 1;
    start = stop + 1;
  };
  const reader = file.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    for (let next = value.indexOf(NEWLINE); next >= 0; next = value.indexOf(NEWLINE, next + 1)) end(at + next);
    at += value.length;
    if (line > last) {
      await reader.cancel();
      break;
    }
  }
  if (start < at) end(at);
  return found;
}

/** The text of these lines; what is not UTF-8 is shown as the usual sign. */
export async function linesOf(file: Blob, wanted: ReadonlySet<number>): Promise<Map<number, string>> {
  const texts = new Map<number, string>();
  for (const [line, span] of await spansOf(file, wanted)) {
    texts.set(line, (await file.slice(span.start, span.end).text()).replace(/\r$/, ""));
  }
  return texts;
}

/** The file with these corrections. */
export async function edited(file: File, edits: Edits): Promise<File> {
  const spans = await spansOf(file, new Set(edits.keys()));
  const parts: BlobPart[] = [];
  let at = 0;
  for (const [line, span] of [...spans].sort(([one], [other]) => one - other)) {
    const text = edits.get(line);
    parts.push(file.slice(at, span.start));
    if (text != null) parts.push(`${text.replace(/[\r\n]+/g, " ")}\n`);
    at = Math.min(span.end + 1, file.size);
  }
  parts.push(file.slice(at));
  return new File(parts, file.name, { type: file.type });
}

/** The endpoint that the file's first request names; null where it names none. */
export async function endpointOf(file: Blob): Promise<string | null> {
  const head = await file.slice(0, 1_048_576).text();
  for (const line of head.split("\n")) {
    if (line.trim() === "") continue;
    try {
      const { url } = JSON.parse(line.replace(/^\uFEFF/, "")) as { url?: unknown };
      if (typeof url === "string") return url;
    } catch {
      // A line that is no JSON is among the errors that the server tells.
    }
  }
  return null;
}
