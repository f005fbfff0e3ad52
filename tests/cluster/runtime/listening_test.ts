import assert from "node:assert/strict";
import { listeningPorts, untilListening } from "../../../src/cluster/runtime/listening.ts";

const never = new AbortController().signal;

Deno.test("listeningPorts() finds listeners of both families, and nothing in a process that is gone", async () => {
  for (const hostname of ["127.0.0.1", "0.0.0.0"]) {
    using listener = Deno.listen({ hostname, port: 0 });
    assert.ok((await listeningPorts(Deno.pid)).has(listener.addr.port));
  }
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using client = await Deno.connect({ port: listener.addr.port });
  using server = await listener.accept();
  const open = await listeningPorts(Deno.pid);
  assert.ok(!open.has((client.localAddr as Deno.NetAddr).port), "a connection is no listener");
  assert.ok(server);
  assert.equal((await listeningPorts(2 ** 30)).size, 0);
});

Deno.test("untilListening() ends with the first of the ports, the signal, or the time", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 }), { port } = listener.addr;
  listener.close();
  let done = false;
  const waiting = untilListening(Deno.pid, [1, port], 60_000, never).then(() => done = true);
  await listeningPorts(Deno.pid);
  assert.equal(done, false);
  using again = Deno.listen({ hostname: "127.0.0.1", port });
  await waiting;
  assert.equal(again.addr.port, port);
  await untilListening(Deno.pid, [1], 30, never);
  const stop = new AbortController(), stopped = untilListening(Deno.pid, [1], 60_000, stop.signal);
  stop.abort();
  await stopped;
});
