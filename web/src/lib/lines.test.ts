import assert from "node:assert/strict";
import { test } from "node:test";
import type { Summary } from "../api/types.ts";
import { answerOf, beginning, failureOf, turnsOf } from "./answer.ts";
import { ofSamples, ofSummary, projection } from "./history.ts";
import { NO_LINES, withPage } from "./lineRows.ts";
import { retryBody, whereOf } from "./retry.ts";
import { changed, hashOf, parse } from "./route.ts";

const reply = (body: unknown) => ({ custom_id: "a", response: { status_code: 200, body }, error: null });

test("answers of every endpoint are read as text", () => {
  assert.equal(answerOf(reply({ choices: [{ message: { content: "yes" } }] })), "yes");
  assert.equal(answerOf(reply({ choices: [{ message: { content: [{ type: "text", text: "yes" }] } }] })), "yes");
  assert.equal(answerOf(reply({ choices: [{ message: { content: null, refusal: "no" } }] })), "no");
  assert.equal(answerOf(reply({ choices: [{ text: "and so on" }] })), "and so on");
  assert.equal(answerOf(reply({ output: [{ type: "reasoning" }, { content: [{ type: "output_text", text: "yes" }] }] })), "yes");
  assert.equal(answerOf(reply({ data: [{ embedding: [1, 2, 3] }] })), "1 × 3 numbers");
  const call = { function: { name: "look", arguments: '{"at":1}' } };
  assert.equal(answerOf(reply({ choices: [{ message: { content: null, tool_calls: [call] } }] })), 'look({"at":1})');
  for (const odd of [null, 5, "x", {}, reply(null), reply({ choices: [] })]) assert.equal(answerOf(odd), null);
});

test("failures are told in the words of whoever refused", () => {
  assert.equal(failureOf({ response: { status_code: 400, body: { error: { message: "too long" } } } }), "too long");
  assert.equal(failureOf({ response: null, error: { code: "batch_expired", message: "over" } }), "over");
  assert.equal(failureOf(null), null);
});

test("requests are turns", () => {
  const image = { type: "image_url", image_url: { url: "data:" } };
  const messages = [
    { role: "system", content: "Short." },
    { role: "user", content: [{ type: "text", text: "What is it?" }, image] },
  ];
  assert.deepEqual(turnsOf({ body: { messages } }), [
    { role: "system", text: "Short." },
    { role: "user", text: "What is it?\n[image_url]" },
  ]);
  assert.deepEqual(turnsOf({ body: { instructions: "Short.", input: "Why?" } }), [
    { role: "system", text: "Short." },
    { role: "user", text: "Why?" },
  ]);
  assert.deepEqual(turnsOf(undefined), []);
});

test("the server's history adds up", () => {
  const point = { input_tokens: 100, output_tokens: 50, latency_p50: 5, latency_p95: 9 };
  const points = [
    { at: 10, done: 5, failed: 1, ...point },
    { at: 20, done: 6, failed: 0, ...point },
  ];
  const summary = { history: { interval_s: 10, points } } as unknown as Summary;
  const [first, last] = ofSummary(summary, null);
  assert.deepEqual([last?.at, last?.done, last?.failed, first?.lines, last?.output], [30, 10, 1, 0.5, 5]);
  const open = ofSummary(summary, 22)[1];
  assert.deepEqual([open?.at, open?.done, open?.lines, open?.output], [22, 10, null, null]);
});

test("where nothing ended there was no pace", () => {
  const point = { done: 10, failed: 0, input_tokens: 0, output_tokens: 0, latency_p50: 5, latency_p95: 9 };
  const points = [0, 10, 50].map((at) => ({ at, ...point }));
  const told = ofSummary({ history: { interval_s: 10, points } } as unknown as Summary, null);
  assert.deepEqual(told.map(({ at, lines, done }) => [at, lines, done]), [
    [10, 1, 10], [20, 1, 20], [30, 0, 20], [50, 0, 20], [60, 1, 30],
  ]);
});

test("an interval has no pace before it is over, and a batch that stands still has none until now", () => {
  const point = { done: 10, failed: 0, input_tokens: 0, output_tokens: 0, latency_p50: 5, latency_p95: 9 };
  const summary = { history: { interval_s: 10, points: [0, 10].map((at) => ({ at, ...point })) } } as unknown as Summary;
  const told = (now: number) => ofSummary(summary, now).map(({ at, lines, done }) => [at, lines, done]);
  assert.deepEqual(told(15), [[10, 1, 10], [15, null, 20]]);
  assert.deepEqual(told(21), [[10, 1, 10], [20, null, 20]]);
  assert.deepEqual(told(25), [[10, 1, 10], [20, 1, 20]]);
  assert.deepEqual(told(100), [[10, 1, 10], [20, 1, 20], [30, 0, 20], [98, 0, 20]]);
});

test("of a text that is too long to be read the beginning is shown", () => {
  assert.equal(beginning("abc", 3), "abc");
  assert.equal(beginning("abcd", 3), "abc…");
  assert.equal(beginning("ab\u{1F600}", 3), "ab…");
});

test("without it, two looks make a point", () => {
  const looks = [0, 2, 4].map((at) => ({ at, done: at * 3, failed: 0, inputTokens: 0, outputTokens: at }));
  assert.deepEqual(ofSamples(looks).map(({ lines, output }) => [lines, output]), [[3, 1], [3, 1]]);
});

test("the projection ends where the batch does, and is left out where it would be most of the picture", () => {
  const points = ofSamples([0, 50, 100].map((at) => ({ at, done: at, failed: 0, inputTokens: 0, outputTokens: 0 })));
  const { times, soonest, latest } = projection(points, 200, { low: 80, high: 120 });
  assert.deepEqual(times, [50, 100, 180, 220]);
  assert.deepEqual(soonest, [null, 100, 200, 200]);
  assert.deepEqual(latest, [null, 100, null, 200]);
  assert.equal(projection(points, 200, { low: 80, high: 9_999 }).times.length, 2);
});

test("a page of lines joins once, and only where it belongs", () => {
  const line = { object: "batch.line", line: 0, custom_id: "a", outcome: "succeeded", result: reply({ choices: [{ text: "x\n y" }] }) };
  const page = { object: "list", data: [line], has_more: true, next: "c1", status: "in_progress" } as never;
  const once = withPage(NO_LINES, null, page);
  assert.equal(once.rows[0]?.preview, "x y");
  assert.ok(!("result" in once.rows[0]!));
  assert.equal(withPage(once, null, page), once);
});

test("a retry asks for what was filled in, and says what cannot be", () => {
  const form = { which: "failed", filter: {}, maxTokens: "", overrides: "", maxCost: "" } as const;
  assert.deepEqual(retryBody(form), {});
  assert.deepEqual(retryBody({ ...form, which: "truncated", maxTokens: "4096", overrides: '{"temperature": null}', maxCost: "$2.5" }), {
    where: { finish_reason: ["length"] },
    set: { max_tokens: 4096, temperature: null },
    max_cost: 2.5,
  });
  for (const wrong of [{ maxTokens: "many" }, { maxTokens: "0" }, { overrides: "[]" }, { overrides: "{" }, { maxCost: "-1" }]) {
    assert.throws(() => retryBody({ ...form, ...wrong }));
  }
  assert.deepEqual(whereOf(new URLSearchParams("outcome=failed,expired&text=abc&line=3")), {
    outcome: ["failed", "expired"],
    text: "abc",
  });
  assert.deepEqual(whereOf(new URLSearchParams("outcome=failed&custom_id=row-1")), {});
});

test("addresses are read as they were written", () => {
  const hash = hashOf(["batches", "a/b?c"], { search: "x & y", status: null });
  const { path, query } = parse(hash);
  assert.deepEqual(path, ["batches", "a/b?c"]);
  assert.equal(query.get("search"), "x & y");
  assert.equal(query.has("status"), false);
  assert.equal(changed(query, { search: "" }).toString(), "");
  assert.deepEqual(parse("").path, []);
  assert.deepEqual(parse("#/%E0%A4%A").path, ["%E0%A4%A"]);
});
