// The embedded cluster's API server alone, for tests of what talks to it.

import assert from "node:assert/strict";
import { stringify } from "yaml";
import { startApiServer } from "../../src/cluster/api/server.ts";
import type { KubeTarget } from "../../src/kube/target.ts";
import { Logger } from "../../src/telemetry/logger.ts";

export interface EmbeddedApi extends AsyncDisposable {
  target: KubeTarget;
  kubeconfig: string;
}

/** Nothing acts on what it stores. */
export async function embeddedApi(): Promise<EmbeddedApi> {
  const dataDir = await Deno.makeTempDir({ prefix: "ambientd-api-" });
  const server = await startApiServer({
    dataDir,
    listen: [{ hostname: "127.0.0.1", port: 0 }],
    log: new Logger("api", { sink: { write: () => {} } }),
  });
  const [address] = server.addresses;
  assert.ok("port" in address);
  const target = server.adminKubeconfig(`https://127.0.0.1:${address.port}`);
  return {
    target,
    kubeconfig: stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "x",
      contexts: [{ name: "x", context: { cluster: "x", user: "x" } }],
      clusters: [{ name: "x", cluster: { server: target.server, "certificate-authority-data": btoa(target.caPem) } }],
      users: [{
        name: "x",
        user: {
          "client-certificate-data": btoa(target.clientCertPem),
          "client-key-data": btoa(target.clientKeyPem),
        },
      }],
    }),
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await Deno.remove(dataDir, { recursive: true });
    },
  };
}
