// Upload, create, poll, download with what Node and browsers bring along: fetch, FormData, Blob.
import { readFile } from "node:fs/promises";

const [baseUrl, apiKey, path] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${apiKey}` };

async function call(method, route, body, more = {}) {
  const reply = await fetch(`${baseUrl}${route}`, { method, headers: { ...headers, ...more }, body });
  if (!reply.ok) throw new Error(`${method} ${route}: ${reply.status} ${await reply.text()}`);
  return reply;
}

const form = new FormData();
form.append("file", new Blob([await readFile(path)], { type: "application/jsonl" }), "requests.jsonl");
form.append("purpose", "batch");
const file = await (await call("POST", "/files", form)).json();

const wanted = { input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" };
let batch = await (
  await call("POST", "/batches", JSON.stringify(wanted), { "Content-Type": "application/json" })
).json();

while (!["completed", "failed", "cancelled", "expired"].includes(batch.status)) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  batch = await (await call("GET", `/batches/${batch.id}`)).json();
}
if (batch.status !== "completed") throw new Error(JSON.stringify(batch));

const text = await (await call("GET", `/files/${batch.output_file_id}/content`)).text();
for (const line of text.trim().split("\n")) JSON.parse(line);
process.stdout.write(text);
