import assert from "node:assert/strict";
import { test } from "node:test";
import type { Batch, Lane } from "../api/types.ts";
import { countsOf, newer } from "./counts.ts";
import { ended, etaOf, linesPerSecond, Paces, type Sample, withSample } from "./pace.ts";
import { withHead, withTail } from "./rows.ts";

function batch(part: Partial<Batch> & { lanes?: Partial<Lane>[] } = {}): Batch {
  const { lanes, ...rest } = part;
  const made = {
    id: "batch_1",
    status: "in_progress",
    request_counts: { total: 100, completed: 10, failed: 2 },
    batchrouter: { closing: null, max_cost: null, priority: "normal", ...(lanes && { lanes }) },
    ...rest,
  };
  return made as Batch;
}

function lane(part: Partial<Lane>): Partial<Lane> {
  return { waiting: 0, in_job: 0, in_flight: 0, retrying: 0, done: 0, ...part };
}

test("a batch's counts are all of its lines, whatever its lanes say", () => {
  for (const lanes of [undefined, [lane({ in_flight: 5, retrying: 3 })], [lane({ in_flight: 500, retrying: 500 })]]) {
    const { total, done, failed, inFlight, retrying, waiting, unfinished } = countsOf(batch({ ...(lanes && { lanes }) }));
    assert.equal(done + failed + inFlight + retrying + waiting + unfinished, total);
    assert.ok(Math.min(inFlight, retrying, waiting) >= 0);
  }
  const counts = countsOf(batch({ lanes: [lane({ in_flight: 5, retrying: 3 })] }));
  assert.deepEqual([counts.inFlight, counts.retrying, counts.waiting], [5, 3, 80]);
});

test("in a batch that ended nothing waits", () => {
  const counts = countsOf(batch({ status: "cancelled", lanes: [lane({ in_flight: 5 })] }));
  assert.deepEqual([counts.inFlight, counts.waiting, counts.unfinished], [0, 0, 88]);
});

test("numbers never go backwards, though replies overtake each other", () => {
  const seen = batch({ request_counts: { total: 100, completed: 50, failed: 5 } });
  const late = batch({ request_counts: { total: 100, completed: 40, failed: 6 } });
  assert.deepEqual(newer(seen, late).request_counts, { total: 100, completed: 50, failed: 6 });
  const final = batch({ status: "completed" });
  assert.equal(newer(final, late), final);
  assert.equal(newer(final, batch({ id: "batch_2" })).id, "batch_2");
});

test("what a list does not tell stays from the last look", () => {
  const looked = batch({ lanes: [lane({ in_flight: 5 })] });
  assert.equal(countsOf(newer(looked, batch())).inFlight, 5);
});

function sample(at: number, done: number): Sample {
  return { at, done, failed: 0, inputTokens: 0, outputTokens: 0 };
}

test("the time left is a range between the fastest and the slowest pace that was seen", () => {
  // Ten a second for a minute, then one a second for twenty.
  const samples = [sample(0, 0), sample(60, 600), sample(80, 620)];
  const eta = etaOf(samples, 100, 0);
  assert.ok(eta !== null);
  assert.equal(Math.round(eta.high), 100);
  assert.ok(eta.low < 20 && eta.low > 10);
  assert.equal(linesPerSecond(samples), 1);
});

test("no pace is told before enough was seen", () => {
  assert.equal(linesPerSecond([sample(0, 0), sample(1, 10)]), null);
  assert.equal(etaOf([sample(10, 0)], 10, null), null);
  assert.equal(etaOf([sample(0, 0), sample(30, 0)], 10, 0), null);
  assert.equal(etaOf([sample(0, 0), sample(30, 10)], 0, 0), null);
});

test("samples are bounded, span all, and take no step back", () => {
  let samples: Sample[] = [];
  for (let at = 0; at < 10_000; at += 1) samples = withSample(samples, sample(at, at));
  assert.ok(samples.length <= 400);
  assert.equal(samples[0]?.at, 0);
  assert.equal(samples.at(-1)?.at, 9_999);
  assert.equal(ended(withSample(samples, sample(10_001, 5)).at(-1)!), 9_999);
});

test("only the latest batches are remembered", () => {
  const paces = new Paces(2);
  for (const id of ["a", "b", "a", "c"]) paces.saw(batch({ id }), 1);
  assert.deepEqual(["a", "b", "c"].map((id) => paces.of(id).length), [1, 0, 1]);
});

const page = (ids: string[], has_more: boolean) => ({ object: "list" as const, data: ids.map((id) => batch({ id })), has_more });
const ids = (rows: { rows: Batch[] } | undefined) => rows?.rows.map(({ id }) => id).join("");

test("the newest page takes the place of what it covers, and older rows stay", () => {
  const read = withTail(withHead(undefined, page(["d", "c"], true)), "c", page(["b", "a"], false));
  assert.equal(ids(read), "dcba");
  const later = withHead(read, page(["e", "d"], true));
  assert.equal(ids(later), "edcba");
  assert.equal(later.more, false);
});

test("a row that matches no longer goes; a gap is read anew", () => {
  const read = withTail(withHead(undefined, page(["d", "c"], true)), "c", page(["b", "a"], false));
  assert.equal(ids(withHead(read, page(["d", "b"], true))), "dba");
  const gap = withHead(read, page(["z", "y"], true));
  assert.equal(ids(gap), "zy");
  assert.equal(gap.more, true);
  assert.equal(ids(withHead(read, page(["d"], false))), "d");
});

test("an older page that came too late is dropped", () => {
  const read = withHead(undefined, page(["d", "c"], true));
  assert.equal(ids(withTail(read, "x", page(["a"], false))), "dc");
});
