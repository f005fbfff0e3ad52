import { destination, forward, route, ScriptedBackend, virtualHost, withLab } from "/work/main/tests/http/exchange/support.ts";
const backend = new ScriptedBackend(async (peer) => {
    await peer.until(({ received }) => received.includes("\r\n\r\n"));
    await peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome");
    await peer.until(({ ended }) => ended);
  });
    await withLab({ resources: [virtualHost([route(forward(["web"]))])], destinations: [destination("web", [backend.port])] }, async (lab) => {
      const client = await Deno.connect({ hostname: "127.0.0.1", port: lab.port });
      await client.write(new TextEncoder().encode("GET / HTTP/1.1\r\nhost: web\r\n\r\n"));
      const deadline = performance.now() + 1000;
      while ([...lab.exchanges.records()][0]?.bytesSent !== 4 && performance.now() < deadline) {
        await new Promise((go) => setTimeout(go, 2));
      }
      const r=[...lab.exchanges.records()][0];
      console.log(r?.bytesSent, r?.responseStatus, r?.details);
      client.close();
      await new Promise((go) => setTimeout(go, 500));
      console.log(lab.log, lab.exchanges.active, backend.peers[0].ended);
    });
await backend.close();
