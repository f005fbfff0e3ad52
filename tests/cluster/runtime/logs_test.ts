import assert from "node:assert/strict";
import { LogFile, readLog } from "../../../src/cluster/runtime/logs.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (stream: ReadableStream<Uint8Array>) => new Response(stream).text();

async function withLog(test: (log: LogFile, path: string) => Promise<void>, rotateBytes?: number): Promise<void> {
  const dir = await Deno.makeTempDir();
  const log = new LogFile(`${dir}/c/0.log`, rotateBytes);
  try {
    await test(log, log.path);
  } finally {
    log.close();
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("LogFile writes the CRI format and joins lines that come in pieces", async () => {
  await withLog(async (log, path) => {
    log.write("stdout", bytes("one\ntw"));
    log.write("stderr", bytes("oops\n"));
    log.write("stdout", bytes("o\nlast"));
    log.close();
    const lines = (await Deno.readTextFile(path)).trimEnd().split("\n");
    assert.deepEqual(lines.map((line) => line.slice(line.indexOf(" ") + 1)), [
      ...["stdout F one", "stderr F oops", "stdout F two", "stdout F last"],
    ]);
    for (const line of lines) assert.match(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /);
    assert.equal(await text(readLog(path, {})), "one\noops\ntwo\nlast\n");
  });
});

Deno.test("readLog() selects by tail, time and size, and shows timestamps", async () => {
  await withLog(async (log, path) => {
    for (let i = 0; i < 10; i++) log.write("stdout", bytes(`line ${i}\n`));
    assert.equal(await text(readLog(path, { tailLines: 2 })), "line 8\nline 9\n");
    assert.equal(await text(readLog(path, { tailLines: 0 })), "");
    assert.equal(await text(readLog(path, { limitBytes: 8 })), "line 0\nl");
    assert.equal((await text(readLog(path, { sinceSeconds: 3600 }))).split("\n").length, 11);
    assert.equal(await text(readLog(path, { sinceTime: new Date(Date.now() + 60_000).toISOString() })), "");
    assert.match(await text(readLog(path, { tailLines: 1, timestamps: true })), /^\d{4}-.*Z line 9\n$/);
    assert.equal(await text(readLog(path + ".absent", {})), "");
  });
});

Deno.test("a line longer than a part is cut in the file and whole in the output", async () => {
  await withLog(async (log, path) => {
    const long = "x".repeat(40_000);
    log.write("stdout", bytes(`short\n${long}\nend\n`));
    const raw = (await Deno.readTextFile(path)).split("\n");
    assert.ok(raw.every((line) => line.length < 17_000));
    assert.ok(raw.some((line) => line.includes(" stdout P ")));
    assert.equal(await text(readLog(path, { tailLines: 2 })), `${long}\nend\n`);
  });
});

Deno.test("following delivers what is written later and ends with the container", async () => {
  await withLog(async (log, path) => {
    log.write("stdout", bytes("before\n"));
    const reader = readLog(path, { follow: true }, log).pipeThrough(new TextDecoderStream()).getReader();
    assert.equal((await reader.read()).value, "before\n");
    const next = reader.read();
    log.write("stdout", bytes("after\n"));
    assert.equal((await next).value, "after\n");
    const last = reader.read();
    log.close();
    assert.equal((await last).done, true);
  });
});

Deno.test("a reader that goes away while following leaves nothing behind", async () => {
  await withLog(async (log, path) => {
    const stream = readLog(path, { follow: true }, log);
    const reader = stream.getReader();
    const pending = reader.read().catch(() => {});
    await reader.cancel();
    await pending;
    log.write("stdout", bytes("nobody listens\n"));
  });
});

Deno.test("a full log is turned over, bounded on disk, and followers see every line", async () => {
  await withLog(async (log, path) => {
    const reader = readLog(path, { follow: true }, log).pipeThrough(new TextDecoderStream()).getReader();
    let seen = "";
    const reading = (async () => {
      for (let part; !(part = await reader.read()).done;) seen += part.value;
    })();
    for (let i = 0; i < 200; i++) {
      log.write("stdout", bytes(`entry ${i}\n`));
      if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    log.close();
    await reading;
    assert.equal(seen.split("\n").length, 201);
    assert.ok((await Deno.stat(path)).size <= 2048 && (await Deno.stat(path + ".1")).size <= 2048);
  }, 2048);
});

Deno.test("a follower misses nothing that is written and turned over while it is busy, up to a whole file", async () => {
  for (const lines of [10, 40, 60, 80]) {
    await withLog(async (log, path) => {
      log.write("stdout", bytes("first\n"));
      const reader = readLog(path, { follow: true }, log).pipeThrough(new TextDecoderStream()).getReader();
      let seen = (await reader.read()).value ?? "";
      for (let i = 0; i < lines; i++) log.write("stdout", bytes(`entry ${i}\n`));
      log.close();
      for (let part; !(part = await reader.read()).done;) seen += part.value;
      assert.equal(seen, "first\n" + Array.from({ length: lines }, (_, i) => `entry ${i}\n`).join(""));
    }, 2048);
  }
});
