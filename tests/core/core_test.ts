import assert from "node:assert/strict";
import { Backoff, sleep } from "../../src/core/backoff.ts";
import { readConfig, setting } from "../../src/core/config.ts";
import { Drain } from "../../src/core/drain.ts";
import { formatAge, parseDurationMs } from "../../src/core/duration.ts";
import { describeError, MeshError } from "../../src/core/errors.ts";
import { formatTable } from "../../src/core/terminal.ts";

for (
  const [text, ms] of [["0", 0], ["10s", 10_000], ["1h30m", 5_400_000], ["250ms", 250], ["1.5s", 1500], [
    "-2s",
    -2000,
  ]] as const
) {
  Deno.test(`parseDurationMs() reads ${text}`, () => assert.equal(parseDurationMs(text), ms));
}

for (const text of ["", "10", "s", "10x", "1s2", "1 s"]) {
  Deno.test(`parseDurationMs() refuses "${text}"`, () =>
    assert.throws(() => parseDurationMs(text), { code: "invalid_duration" }));
}

for (
  const [seconds, age] of [
    [0, "0s"],
    [119, "119s"],
    [120, "2m"],
    [192, "3m12s"],
    [3600, "60m"],
    [4 * 3600, "4h"],
    [
      7 * 3600 + 120,
      "7h2m",
    ],
    [50 * 3600, "2d2h"],
    [400 * 86400, "400d"],
  ] as const
) {
  Deno.test(`formatAge() writes ${seconds} s as kubectl does`, () => assert.equal(formatAge(seconds * 1000), age));
}

Deno.test("readConfig() reports every bad value at once", () => {
  const table = {
    port: setting("PORT", "integer", 80, "a port"),
    on: setting(["NEW_ON", "ON"], "boolean", false, "a switch"),
    wait: setting("WAIT", "duration", 1000, "a wait"),
    names: setting("NAMES", "list", [], "names"),
  };
  const env = (values: Record<string, string>) => (name: string) => values[name];
  assert.deepEqual({ ...readConfig(table, env({ ON: "true", WAIT: "2s", NAMES: "a, b", PORT: "" })) }, {
    port: 80,
    on: true,
    wait: 2000,
    names: ["a", "b"],
  });
  assert.throws(() => readConfig(table, env({ PORT: "x", ON: "maybe" })), (error: unknown) => {
    assert.match((error as Error).message, /PORT="x".*ON="maybe"/);
    return (error as MeshError).code === "invalid_config";
  });
});

Deno.test("describeError() follows causes without repeating them", () => {
  assert.equal(describeError(new MeshError("x", "outer", { cause: new Error("inner") })), "outer: inner");
  assert.equal(describeError(new Error("outer: inner", { cause: new Error("inner") })), "outer: inner");
  assert.equal(describeError("text"), "text");
});

Deno.test("Backoff.next() doubles up to its maximum and starts again after reset()", () => {
  const backoff = new Backoff({ initialMs: 10, maxMs: 40 });
  assert.deepEqual([backoff.next(), backoff.next(), backoff.next(), backoff.next()], [10, 20, 40, 40]);
  backoff.reset();
  assert.equal(backoff.next(), 10);
});

Deno.test("Drain.start() waits for held work and tells when the deadline came first", async () => {
  const quick = new Drain();
  quick.hold(sleep(5));
  assert.equal(await quick.start(10_000), true);
  const stuck = new Drain();
  const stop = new AbortController();
  const work = sleep(60_000, stop.signal);
  stuck.hold(work);
  assert.equal(await stuck.start(10), false);
  assert.ok(stuck.draining);
  stop.abort();
  await work;
});

Deno.test("formatTable() aligns columns and leaves no trailing blanks", () => {
  assert.equal(
    formatTable([["NAME", "AGE"], ["a-long-name", ""], ["b", "2s"]]),
    "NAME          AGE\na-long-name\nb             2s",
  );
});
