import assert from "node:assert/strict";
import { allocate, BASE, U8, view, writePointer, writeSize } from "../../src/sys/memory.ts";
import { libc } from "../../src/sys/libc.ts";

Deno.test("the arena lies below 2 GiB, so that addresses fit a u32 and never deoptimize", {
  ignore: Deno.build.arch !== "x86_64" && Deno.build.arch !== "aarch64",
}, async () => {
  // In a process of its own: test files share one, and each of their isolates has taken an arena from the low memory.
  const module = new URL("../../src/sys/memory.ts", import.meta.url).href;
  const code = `import { BASE, NARROW, U8 } from "${module}"; console.log(JSON.stringify([NARROW, BASE + U8.length]))`;
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["eval", "--no-check", code] }).output();
  const [narrow, end] = JSON.parse(new TextDecoder().decode(stdout));
  assert.equal(narrow, true);
  assert.ok(end <= 2 ** 31);
});

Deno.test("allocate() gives zeroed, aligned, separate ranges that native code sees", () => {
  const a = allocate(100), b = allocate(1);
  assert.equal(a % 64, 0);
  assert.ok(b >= a + 100);
  assert.ok(view(a, 100).every((byte) => byte === 0));
  const fd = libc.open(new TextEncoder().encode("/proc/self/comm\0"), 0, 0);
  const count = libc.read(fd, BASE + a, 100);
  libc.close(fd);
  assert.equal(new TextDecoder().decode(view(a, count)), Deno.readTextFileSync("/proc/self/comm"));
});

Deno.test("allocate() refuses more than there is", () => {
  assert.throws(() => allocate(2 ** 30), { code: "out_of_memory", message: /cannot take 1073741824 bytes/ });
});

Deno.test("writePointer() and writeSize() write 64-bit words", () => {
  const at = allocate(16);
  writePointer(at, at);
  writeSize(at + 8, 77);
  const words = new BigUint64Array(U8.buffer, at, 2);
  assert.deepEqual([...words], [BigInt(BASE + at), 77n]);
});

Deno.test("where no low memory can be used, the same code runs with wide addresses", async () => {
  const program = `
    import { NARROW } from ${JSON.stringify(new URL("../../src/sys/memory.ts", import.meta.url).href)};
    import { connectTcp, listenTcp, pump, Reactor, tap } from ${
    JSON.stringify(new URL("../../src/net/mod.ts", import.meta.url).href)
  };
    const reactor = new Reactor();
    reactor.start();
    const echo = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
      const side = tap(socket, { onData: (bytes) => side.write(bytes.slice()), onEnd: () => side.end() });
    });
    const relay = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
      connectTcp(reactor, { address: "127.0.0.1", port: echo.port, timeoutMs: 5000 }, (_, up) => pump(socket, up, { onDone() {} }));
    });
    connectTcp(reactor, { address: "127.0.0.1", port: relay.port, timeoutMs: 5000 }, (_, socket) => {
      let got = 0;
      const side = tap(socket, { onData: (bytes) => got += bytes.length, onEnd: async () => {
        console.log(NARROW, got);
        await reactor.stop();
      } });
      side.write(new Uint8Array(3_000_000));
      side.end();
    });`;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", program],
    env: { AMBIENTD_FFI_WIDE: "1" },
    cwd: new URL("../..", import.meta.url),
  }).output();
  assert.equal(new TextDecoder().decode(stdout), "false 3000000\n", new TextDecoder().decode(stderr));
});
