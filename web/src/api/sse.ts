/** Server-sent events read from a reply: the browser's own reader cannot send a key. */

export interface Frame {
  event: string;
  data: string;
  id: string | null;
}

const FRAME_CHARS_MAX = 8 * 1024 * 1024;
/** The server says something every 15 seconds: a connection that is silent for longer is gone, though nobody said so. */
const SILENT_MS = 40_000;

export async function* frames(reply: Response): AsyncGenerator<Frame> {
  if (reply.body === null) return;
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await heard(reader.read());
      if (done) return;
      rest = (rest + value).replaceAll("\r\n", "\n"); // together: a cut may fall between the two
      if (rest.length > FRAME_CHARS_MAX) throw new Error("A frame of the event stream is too long.");
      const parts = rest.split("\n\n");
      rest = parts.pop() ?? "";
      for (const part of parts) {
        const frame = frameOf(part);
        if (frame !== null) yield frame;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function heard<T>(read: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("The event stream is silent.")), SILENT_MS);
  });
  try {
    return await Promise.race([read, silence]);
  } finally {
    clearTimeout(timer);
  }
}

/** Null for comments, which only keep the connection alive. */
function frameOf(text: string): Frame | null {
  const frame: Frame = { event: "message", data: "", id: null };
  const data: string[] = [];
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const name = line.slice(0, colon);
    if (name === "data") data.push(value);
    else if (name === "event") frame.event = value;
    else if (name === "id") frame.id = value;
  }
  if (data.length === 0 && frame.event === "message") return null;
  return { ...frame, data: data.join("\n") };
}
