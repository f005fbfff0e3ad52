import assert from "node:assert/strict";

/**
 * V8 optimizes the hot path, learns of a new case, deoptimizes, and settles: a handful per function. A call into native
 * code whose arguments it cannot convert never settles (see src/sys/memory.ts), and shows as the same function over and over.
 */
const SETTLED = 8;

Deno.test("the data path settles: nothing is deoptimized over and over under load", async () => {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--no-check",
      "--v8-flags=--trace-deopt",
      new URL("deopt_load.ts", import.meta.url).pathname,
      "4000",
    ],
    stderr: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  assert.equal(success, true, text.slice(-2000));
  assert.match(text, /moved \d{6,}/);
  const counts = new Map<string, number>();
  for (const [, reason, name] of text.matchAll(/bailout \(kind: [^,]*, reason: ([^)]*)\).*?<JSFunction ([^ >]*)/g)) {
    assert.notEqual(reason, "not a BigInt", `${name} passes a number where native code is declared to take 64 bits`);
    const key = `${name}: ${reason}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  assert.ok(counts.size > 0, "no trace: has the flag changed its name");
  assert.deepEqual([...counts].filter(([, count]) => count > SETTLED), []);
});
