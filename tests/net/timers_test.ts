import assert from "node:assert/strict";
import fc from "fast-check";
import { Timers } from "../../src/net/timers.ts";

const fail = (thrown: unknown): void => assert.fail(String(thrown));

Deno.test("timers fire once, never early, at most a tick late, and not when cancelled", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          delay: fc.integer({ min: 0, max: 40_000 }),
          cancelAt: fc.option(fc.integer({ min: 0, max: 40_000 })),
        }),
      ),
      fc.integer({ min: 1, max: 400 }),
      (plan, step) => {
        const start = 1_000_003;
        const timers = new Timers(start, fail);
        const fired = new Map<number, number>();
        let now = start;
        const made = plan.map(({ delay }, i) =>
          timers.schedule(start + delay, () => {
            assert.equal(fired.has(i), false);
            fired.set(i, now);
          })
        );
        for (; now < start + 41_000; now += step) {
          plan.forEach(({ cancelAt }, i) => {
            if (cancelAt !== null && start + cancelAt <= now) made[i].cancel();
          });
          timers.advance(now);
        }
        plan.forEach(({ delay, cancelAt }, i) => {
          const at = fired.get(i);
          if (at === undefined) {
            return assert.ok(cancelAt !== null && cancelAt <= delay + 16 + step, `timer ${i} was lost`);
          }
          assert.ok(at >= start + delay, "early");
          assert.ok(at <= start + delay + 16 + step, "late");
        });
        assert.equal(timers.size, 0);
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("timers can be moved, before and after they fire, and started from a callback", () => {
  const timers = new Timers(0, fail);
  const log: string[] = [];
  const timer = timers.schedule(100, () => log.push("a"));
  timers.reschedule(timer, 300);
  timers.advance(200);
  assert.equal(log.length, 0);
  timers.advance(400);
  timers.reschedule(timer, 500);
  timers.schedule(420, () => timers.schedule(430, () => log.push("b")));
  for (let now = 400; now < 600; now += 16) timers.advance(now);
  assert.deepEqual(log, ["a", "b", "a"]);
});

Deno.test("a callback that throws does not stop the others", () => {
  const thrown: unknown[] = [];
  const timers = new Timers(0, (error) => thrown.push(error));
  let fired = 0;
  for (let i = 0; i < 3; i++) {
    timers.schedule(10, () => {
      fired++;
      throw new Error("no");
    });
  }
  timers.advance(50);
  assert.equal(fired, 3);
  assert.equal(thrown.length, 3);
});

Deno.test("untilNext() tells how long may be slept", () => {
  const timers = new Timers(0, fail);
  assert.equal(timers.untilNext(0), -1);
  timers.schedule(5000, () => {});
  const far = timers.schedule(100, () => {});
  assert.ok(timers.untilNext(0) >= 100 && timers.untilNext(0) <= 120);
  far.cancel();
  assert.ok(timers.untilNext(0) >= 5000);
});
