import assert from "node:assert/strict";

/** Deoptimizations that one function may have for one reason, all told: V8 learns of new cases and settles. */
const SETTLED = 8;
/** The same after the warm-up, whatever the reasons. */
const LATE = 4;

Deno.test("the L7 path settles: no function of ours is deoptimized over and over under load; backends' connections are kept", async () => {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--no-check",
      "--v8-flags=--trace-deopt",
      new URL("deopt_load.ts", import.meta.url).pathname,
      "4000",
      "3000",
    ],
    stderr: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  assert.equal(success, true, text.slice(-2000));
  const done = /\{"answered":(\d+),"accepted":(\d+),"logged":(true|false)\}/.exec(text);
  assert.ok(done, text.slice(-2000));
  assert.ok(Number(done[1]) > 500, `${done[1]} requests were answered`);
  assert.ok(Number(done[2]) < 60, `${done[2]} connections to the backend for ${done[1]} requests`);
  assert.equal(done[3], "true", "nothing in the access log");

  const warm = text.indexOf("<JSFunction warmUpIsOver");
  assert.ok(warm > 0, "the end of the warm-up is not in the trace");
  const all = new Map<string, number>(), late = new Map<string, number>();
  for (const found of text.matchAll(/bailout \(kind: [^,]*, reason: ([^)]*)\).*?<JSFunction ([^ >]*)/g)) {
    const [, reason, name] = found;
    assert.notEqual(reason, "not a BigInt", `${name} passes a number where native code is declared to take 64 bits`);
    const key = `${name}: ${reason}`;
    all.set(key, (all.get(key) ?? 0) + 1);
    if (found.index > warm) late.set(name, (late.get(name) ?? 0) + 1);
  }
  assert.ok(all.size > 0, "no trace: has the flag changed its name");
  assert.deepEqual([...all].filter(([, count]) => count > SETTLED), []);
  assert.deepEqual([...late].filter(([, count]) => count > LATE), []);
});
