// A short mixed load through a whole tunnel in one process, for deopt_test.ts to watch. Prints the bytes that went through.

import { HbonePool } from "../../src/hbone/mod.ts";
import { connectTcp, listenTcp, pump, Reactor, type Tap, tap } from "../../src/net/mod.ts";
import { forwardTo, listenHbone, targetOf, testMaterial } from "./support.ts";

const material = await testMaterial();
const reactor = new Reactor();
reactor.start();
const echo = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
  const side = tap(socket, { onData: (bytes) => side.write(bytes), onEnd: () => side.end() });
});
const { listener } = listenHbone(reactor, material.server, forwardTo(reactor));
const pool = new HbonePool({ reactor });
const outbound = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
  pool.connect(targetOf(material, listener.port, `127.0.0.1:${echo.port}`), (error, stream) => {
    if (error) socket.abort();
    else pump(socket, stream!, { onDone() {} });
  });
});

let total = 0;
/** Sends `rounds` messages, each when the last has come back, then resolves. */
function client(size: number, rounds: number): Promise<void> {
  return new Promise((resolve, reject) =>
    connectTcp(reactor, { address: "127.0.0.1", port: outbound.port, timeoutMs: 5000 }, (error, socket) => {
      if (error) return reject(error);
      const message = new Uint8Array(size);
      let got = 0, left = rounds;
      const side: Tap = tap(socket!, {
        onData(bytes) {
          got += bytes.length;
          total += bytes.length;
          if (got < size) return;
          got = 0;
          if (--left > 0) side.write(message);
          else side.end();
        },
        onEnd: resolve,
      });
      side.write(message);
    })
  );
}

const end = performance.now() + Number(Deno.args[0]);
while (performance.now() < end) {
  await Promise.all([
    client(64, 2000),
    client(1000, 500),
    client(2_000_000, 5),
    ...Array.from({ length: 30 }, () => client(100, 2)),
  ]);
}
console.log(`moved ${total}`);
await reactor.stop();
