import assert from "node:assert/strict";

const SINK = new URL("../../src/telemetry/stdout_sink.ts", import.meta.url).href;

/** What a process that runs `script`, with the sink at hand, writes. */
async function written(script: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", `import { stdoutSink as sink } from "${SINK}"; ${script}`],
  }).output();
  assert.equal(success, true, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

Deno.test("lines go out at the end of the turn; delayed ones when the delay is over, much has gathered, or the process exits", async () => {
  const mark = 'const mark = (text) => Deno.stdout.writeSync(new TextEncoder().encode(text + "\\n"));';
  const [turn, delayed, much, undelayed, exit] = await Promise.all([
    written(`${mark} sink.write("a"); sink.write("b"); mark("1"); await 0; mark("2");`),
    written(
      `${mark} let flush; sink.delay((f) => flush = f); sink.write("a"); await 0; mark("1"); flush(); mark("2");`,
    ),
    written(`${mark} sink.delay(() => {}); sink.write("x".repeat(40000)); mark("1");`),
    written(
      `${mark} sink.delay(() => {}); sink.write("a"); sink.undelay(); mark("1"); sink.write("b"); await 0; mark("2");`,
    ),
    written(`sink.delay(() => {}); sink.write("last words"); Deno.exit(0);`),
  ]);
  assert.equal(turn, "1\na\nb\n2\n");
  assert.equal(delayed, "1\na\n2\n");
  assert.equal(much, `${"x".repeat(40000)}\n1\n`);
  assert.equal(undelayed, "a\n1\nb\n2\n");
  assert.equal(exit, "last words\n");
});
