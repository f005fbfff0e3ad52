import assert from "node:assert/strict";
import { type Outcome, WorkQueue } from "../../src/roles/cni/work_queue.ts";
import { eventually } from "../support/eventually.ts";

Deno.test("WorkQueue runs a key once at a time and again when it was added meanwhile", async () => {
  const log: string[] = [];
  let go!: () => void;
  const gate = new Promise<void>((resolve) => go = resolve);
  const queue = new WorkQueue(4, async (key): Promise<Outcome> => {
    log.push(`begin ${key}`);
    if (log.length === 1) await gate;
    log.push(`end ${key}`);
    return "done";
  });
  queue.add("a");
  queue.add("a");
  queue.add("a");
  queue.add("b");
  go();
  await eventually(() => assert.equal(queue.size, 0));
  assert.equal(log.filter((line) => line === "begin a").length, 2);
  assert.equal(log.filter((line) => line === "begin b").length, 1);
  assert.ok(log.indexOf("end a") < log.lastIndexOf("begin a"));
  await queue.close();
});

Deno.test("WorkQueue keeps to its workers", async () => {
  let running = 0, most = 0;
  const queue = new WorkQueue(3, async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 1));
    running--;
    return "done";
  });
  for (let i = 0; i < 50; i++) queue.add(`k${i}`);
  await eventually(() => assert.equal(queue.size, 0));
  assert.equal(most, 3);
  await queue.close();
});

Deno.test("WorkQueue tries again after a failure or a throw, until it is closed", async () => {
  const tries = new Map<string, number>();
  const queue = new WorkQueue(2, (key) => {
    const n = (tries.get(key) ?? 0) + 1;
    tries.set(key, n);
    if (key === "throws" && n < 3) throw new Error("not yet");
    return Promise.resolve(key === "never" || n < 3 ? "retry" : "done");
  });
  for (const key of ["fails", "throws", "never"]) queue.add(key);
  await eventually(() => assert.equal(queue.size, 1));
  assert.equal(tries.get("fails"), 3);
  assert.equal(tries.get("throws"), 3);
  await queue.close();
  const last = tries.get("never");
  queue.add("late");
  assert.equal(tries.get("late"), undefined);
  assert.equal(tries.get("never"), last);
});
