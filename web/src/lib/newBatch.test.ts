import assert from "node:assert/strict";
import test from "node:test";
import { edited, endpointOf, linesOf, spansOf } from "./lineEdits.ts";
import { EMPTY, newBatch } from "./newBatch.ts";

function file(text: string): File {
  return new File([text], "in.jsonl");
}

test("lines are found by number, with or without a last line end", async () => {
  for (const end of ["", "\n"]) {
    const found = await linesOf(file(`eins\r\nzwei é\n\nvier${end}`), new Set([1, 2, 4, 9]));
    assert.deepEqual([...found], [[1, "eins"], [2, "zwei é"], [4, "vier"]]);
  }
});

test("spans are bytes, not letters", async () => {
  assert.deepEqual((await spansOf(file("é\nab\n"), new Set([2]))).get(2), { start: 3, end: 5 });
});

test("corrected lines stand in the place of the old ones, and others go", async () => {
  const whole = file("one\ntwo\nthree\nfour");
  const text = async (edits: [number, string | null][]) => (await edited(whole, new Map(edits))).text();
  assert.equal(await text([]), "one\ntwo\nthree\nfour");
  assert.equal(await text([[2, "TWO"]]), "one\nTWO\nthree\nfour");
  assert.equal(await text([[1, null], [3, null]]), "two\nfour");
  assert.equal(await text([[4, "FOUR"], [1, null]]), "two\nthree\nFOUR\n");
  assert.equal(await text([[2, "a\nb"]]), "one\na b\nthree\nfour");
  assert.equal(await text([[9, "nobody"]]), "one\ntwo\nthree\nfour");
  assert.equal((await edited(whole, new Map())).name, "in.jsonl");
});

test("a large file is cut at the right places", async () => {
  const lines = Array.from({ length: 30_000 }, (_, number) => `line ${number} ${"x".repeat(number % 90)}`);
  const after = await (await edited(file(lines.join("\n")), new Map([[1, null], [20_000, "here"], [29_999, null]]))).text();
  const wanted = lines.filter((_, at) => at !== 0 && at !== 29_998);
  wanted[19_998] = "here";
  assert.equal(after, wanted.join("\n"));
});

test("the endpoint is that of the first line that names one", async () => {
  assert.equal(await endpointOf(file('\uFEFF\n{"url":"/v1/embeddings"}\n{"url":"/v1/responses"}')), "/v1/embeddings");
  assert.equal(await endpointOf(file('not json\n{"url":"/v1/responses"}')), "/v1/responses");
  assert.equal(await endpointOf(file("nothing")), null);
});

test("a batch has only what was chosen", () => {
  const plain = { input_file_id: "file-1", endpoint: "/v1/chat/completions", completion_window: "24h" };
  assert.deepEqual(newBatch(EMPTY, "file-1"), plain);
  const chosen = { ...EMPTY, name: " Night ", mode: "batch", priority: "low", maxCost: "$12.5", window: "1h", dedupe: true };
  assert.deepEqual(newBatch(chosen, "file-1"), {
    ...plain,
    completion_window: "1h",
    metadata: { name: "Night", mode: "batch", priority: "low", max_cost: "12.5" },
    dedupe: true,
  });
  assert.throws(() => newBatch({ ...EMPTY, maxCost: "much" }, "file-1"), /sum of dollars/);
});
