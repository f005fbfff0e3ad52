import assert from "node:assert/strict";
import { canonicalJson, templateHash } from "../../../src/cluster/controllers/kit/hash.ts";
import { parseQuantity, scaledValue } from "../../../src/cluster/controllers/kit/quantity.ts";
import { Runner } from "../../../src/cluster/controllers/kit/runner.ts";
import { matchesSelector } from "../../../src/cluster/controllers/kit/selector.ts";
import { WorkQueue } from "../../../src/cluster/controllers/kit/work_queue.ts";
import { Logger } from "../../../src/telemetry/logger.ts";
import { FakeClock } from "../../support/fake_clock.ts";

Deno.test("WorkQueue takes each key once and again when it was added while being worked on", () => {
  let wakes = 0;
  const queue = new WorkQueue(new FakeClock(), () => wakes++);
  queue.add("a");
  queue.add("b");
  queue.add("a");
  assert.equal(queue.take(), "a");
  queue.add("a");
  assert.equal(queue.take(), "b");
  assert.equal(queue.take(), undefined);
  queue.done("a");
  assert.equal(queue.take(), "a");
  queue.done("a");
  queue.done("b");
  assert.ok(queue.idle);
  assert.ok(wakes > 0);
});

Deno.test("WorkQueue backs off 5 ms, 10 ms, 20 ms … up to a minute, until forget()", () => {
  const clock = new FakeClock();
  const queue = new WorkQueue(clock, () => {});
  for (const wait of [5, 10, 20, 40]) {
    queue.addRateLimited("a");
    clock.advance(wait - 1);
    assert.equal(queue.take(), undefined);
    clock.advance(1);
    assert.equal(queue.take(), "a");
    queue.done("a");
  }
  for (let i = 0; i < 40; i++) {
    queue.addRateLimited("a");
    clock.advance(60_000);
    assert.equal(queue.take(), "a");
    queue.done("a");
  }
  queue.forget("a");
  queue.addRateLimited("a");
  clock.advance(5);
  assert.equal(queue.take(), "a");
});

Deno.test("WorkQueue.addAfter() keeps the sooner of two waits; close() ends all", () => {
  const clock = new FakeClock();
  const queue = new WorkQueue(clock, () => {});
  queue.addAfter("a", 100);
  queue.addAfter("a", 50);
  queue.addAfter("a", 200);
  clock.advance(50);
  assert.equal(queue.take(), "a");
  queue.done("a");
  clock.advance(1000);
  assert.equal(queue.take(), undefined);
  queue.addAfter("b", 10);
  queue.close();
  assert.equal(clock.pending, 0);
  queue.add("c");
  assert.equal(queue.size, 0);
});

Deno.test("Runner retries what throws with back-off, keeps keys of one queue apart, and runs background work last", async () => {
  const clock = new FakeClock();
  const lines: string[] = [];
  const runner = new Runner(clock, new Logger("t", { sink: { write: (line) => lines.push(line) } }));
  const seen: string[] = [];
  const background = runner.register("later", (key) => void seen.push(key), { background: true });
  const queue = runner.register("first", (key) => {
    seen.push(key);
    if (seen.filter((k) => k === key).length < 2) throw new Error("boom");
  });
  background.add("z");
  queue.add("a");
  queue.add("b");
  await runner.idle();
  assert.deepEqual(seen, ["a", "b", "z"]);
  clock.advance(5);
  await runner.idle();
  assert.deepEqual(seen, ["a", "b", "z", "a", "b"]);
  assert.equal(lines.length, 2);
  assert.match(lines[0], /boom/);
  await runner.stop();
  queue.add("c");
  await runner.idle().constructor;
  assert.equal(seen.length, 5);
});

Deno.test("canonicalJson() and templateHash() do not depend on the order of keys", () => {
  assert.equal(canonicalJson({ b: [1, { d: 1, c: undefined }], a: null }), '{"a":null,"b":[1,{"d":1}]}');
  assert.equal(templateHash({ a: 1, b: 2 }), templateHash({ b: 2, a: 1 }));
  assert.notEqual(templateHash({ a: 1 }), templateHash({ a: 2 }));
  assert.notEqual(templateHash({ a: 1 }), templateHash({ a: 1 }, 1));
  assert.match(templateHash({ a: 1 }), /^[bcdfghjklmnpqrstvwxz2456789]{1,10}$/);
});

Deno.test("parseQuantity() reads every form of quantity", () => {
  const cases: [string | number | undefined, number][] = [
    ["100m", 0.1],
    ["2", 2],
    ["1.5", 1.5],
    ["128Mi", 128 * 2 ** 20],
    ["2G", 2e9],
    ["1e3", 1000],
    ["5E", 5e18],
    [".5", 0.5],
    [4, 4],
    ["", 0],
    ["abc", 0],
    ["1constructor", 0],
    [undefined, 0],
  ];
  for (const [text, value] of cases) assert.equal(parseQuantity(text), value, String(text));
});

Deno.test("scaledValue() rounds percentages as asked", () => {
  assert.equal(scaledValue("25%", 10, "up"), 3);
  assert.equal(scaledValue("25%", 10, "down"), 2);
  assert.equal(scaledValue("100%", 3, "down"), 3);
  assert.equal(scaledValue(2, 10, "up"), 2);
  assert.equal(scaledValue("2", 10, "up"), 2);
  assert.equal(scaledValue("x%", 10, "up"), 0);
});

Deno.test("matchesSelector() knows every operator; absent selects nothing, empty everything", () => {
  const labels = { app: "a", tier: "web" };
  const cases: [any, boolean][] = [
    [undefined, false],
    [{}, true],
    [{ matchLabels: { app: "a" } }, true],
    [{ matchLabels: { app: "b" } }, false],
    [{ matchLabels: { constructor: "x" } }, false],
    [{ matchExpressions: [{ key: "app", operator: "In", values: ["a", "b"] }] }, true],
    [{ matchExpressions: [{ key: "app", operator: "NotIn", values: ["a"] }] }, false],
    [{ matchExpressions: [{ key: "none", operator: "NotIn", values: ["a"] }] }, true],
    [{ matchExpressions: [{ key: "tier", operator: "Exists" }] }, true],
    [{ matchExpressions: [{ key: "none", operator: "DoesNotExist" }] }, true],
    [{ matchExpressions: [{ key: "toString", operator: "Exists" }] }, false],
    [{ matchExpressions: [{ key: "app", operator: "Like", values: ["a"] }] }, false],
  ];
  for (const [selector, expected] of cases) {
    assert.equal(matchesSelector(selector, labels), expected, JSON.stringify(selector));
  }
});
