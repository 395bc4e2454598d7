import assert from "node:assert/strict";
import { test } from "node:test";
import { type Frame, frames } from "./sse.ts";

const STREAM = ': hello\n\nid: 3\nevent: batch\ndata: {"name":"Größe"}\n\nevent: line\r\ndata: one\r\ndata: two\r\n\r\nevent: end\ndata:\n\nevent: cut';

async function read(chunks: Uint8Array[]): Promise<Frame[]> {
  const body = new ReadableStream({
    start(control) {
      for (const chunk of chunks) control.enqueue(chunk);
      control.close();
    },
  });
  const told: Frame[] = [];
  for await (const frame of frames(new Response(body))) told.push(frame);
  return told;
}

test("events are read whole, wherever the stream is cut", async () => {
  const bytes = new TextEncoder().encode(STREAM);
  const whole = await read([bytes]);
  assert.deepEqual(whole, [
    { event: "batch", data: '{"name":"Größe"}', id: "3" },
    { event: "line", data: "one\ntwo", id: null },
    { event: "end", data: "", id: null },
  ]);
  for (let size = 1; size < 12; size += 1) {
    const chunks = [];
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.slice(at, at + size));
    assert.deepEqual(await read(chunks), whole);
  }
});
