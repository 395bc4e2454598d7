import assert from "node:assert/strict";
import { test } from "node:test";
import { age, bytes, duration, milliseconds, money, percent, range, rate, short } from "./format.ts";

test("numbers keep the figures that say something", () => {
  assert.deepEqual([0, 7, 0.25, 9.4, 999, 9_999, 12_345, 999_499, 1_234_567, 2e9].map(short), [
    "0", "7", "0.25", "9.4", "999", "9,999", "12.3k", "999k", "1.23M", "2G",
  ]);
  assert.equal(short(null), "–");
});

test("small sums of money are not nothing", () => {
  assert.deepEqual([0, 0.00031, 0.026, 0.5, 1.876, 1234.5].map(money), [
    "$0.00", "$0.00031", "$0.026", "$0.50", "$1.88", "$1,234.50",
  ]);
  assert.equal(money(null), "–");
});

test("a part that is not all is never told as all, and one that is something never as nothing", () => {
  assert.equal(percent(9_999, 10_000), ">99.9%");
  assert.equal(percent(99_999, 100_000), ">99.9%");
  assert.equal(percent(995, 1_000), "99.5%");
  assert.equal(percent(2, 3), "67%");
  assert.equal(percent(1, 100_000), "<0.1%");
  assert.equal(percent(5, 5), "100%");
  assert.equal(percent(0, 5), "0%");
  assert.equal(percent(1, 0), "–");
});

test("times have two units at most", () => {
  assert.deepEqual([0, 59, 61, 600, 3_600, 5_000, 93_784].map(duration), ["0s", "59s", "1m 1s", "10m", "1h", "1h 23m", "1d 2h"]);
  assert.equal(duration(Number.POSITIVE_INFINITY), "–");
  assert.deepEqual([1, 40, 125, 7_300, 180_000].map(age), ["now", "40s", "2m", "2h", "2d"]);
  assert.equal(range(60, 60.2), "1m");
  assert.equal(range(30, 95), "30s – 1m 35s");
  assert.deepEqual([12, 1_234, 12_340, 65_000].map(milliseconds), ["12 ms", "1.23 s", "12.3 s", "1m 5s"]);
});

test("a slow pace is told by the minute", () => {
  assert.equal(rate(0.5, "lines"), "30 lines/min");
  assert.equal(rate(12.34), "12/s");
  assert.equal(rate(0), "0/s");
  assert.equal(rate(null), "–");
});

test("bytes", () => {
  assert.deepEqual([999, 1_500, 15_000, 2_800_000, 5e9].map(bytes), ["999 B", "1.5 kB", "15 kB", "2.8 MB", "5.0 GB"]);
});
