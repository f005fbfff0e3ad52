import assert from "node:assert/strict";
import { configReloader } from "../../../src/cluster/programs/config_reloader.ts";
import { eventually } from "../../support/eventually.ts";

Deno.test({
  name: "config-reloader answers its probes and has the server reload when a file changes",
  // Idle connections of fetch.
  sanitizeResources: false,
  fn: async () => {
    const dir = await Deno.makeTempDir();
    await Deno.writeTextFile(`${dir}/prometheus.yml`, "a");
    let reloads = 0;
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, ({ method, url }) => {
      if (method === "POST" && url.endsWith("/-/reload")) reloads++;
      return new Response();
    });
    const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = free.addr;
    free.close();
    const stop = new AbortController();
    const args = [
      `--watched-dir=${dir}`,
      `--listen-address=:${port}`,
      `--reload-url=http://127.0.0.1:${server.addr.port}/-/reload`,
    ];
    const running = configReloader({ args, env: () => undefined, signal: stop.signal });
    const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`).then((answer) => answer.text());
    assert.equal(await eventually(() => get("/healthz")), "ok\n");
    assert.equal(reloads, 0);
    await Deno.writeTextFile(`${dir}/prometheus.yml`, "b");
    await eventually(() => {
      assert.equal(reloads, 1);
    }, 20_000);
    stop.abort();
    assert.equal(await running, 0);
    assert.equal(await configReloader({ args: ["--listen-address=x"], env: () => undefined, signal: stop.signal }), 1);
    await server.shutdown();
    await Deno.remove(dir, { recursive: true });
  },
});
