import { SAMPLE_POLICIES } from "../../../manifests/samples/mod.ts";
import { reset, type Scenario, served } from "./scenario.ts";

const OUTSIDE = "outside";

/** A caller from outside the mesh is served, until PeerAuthentication STRICT; its removal serves it again. */
export const mutualTls: Scenario = async (cluster) => {
  await cluster.apply([{ apiVersion: "v1", kind: "Namespace", metadata: { name: OUTSIDE } }]);
  await cluster.apply(SAMPLE_POLICIES["outside-caller"], OUTSIDE);
  await cluster.until(() => served(cluster, "outside", OUTSIDE), 60_000);

  const strict = await cluster.apply(SAMPLE_POLICIES["strict-mtls"]);
  await cluster.until(() => reset(cluster, "outside", OUTSIDE));
  await served(cluster, "sleep");
  await cluster.remove(strict);
  await cluster.until(() => served(cluster, "outside", OUTSIDE));

  // For one port only: the others stay open, and a DISABLE on the port opens it again under STRICT.
  const byPort = await cluster.apply([{
    apiVersion: "security.istio.io/v1",
    kind: "PeerAuthentication",
    metadata: { name: "productpage", namespace: "default" },
    spec: {
      selector: { matchLabels: { app: "productpage" } },
      mtls: { mode: "PERMISSIVE" },
      portLevelMtls: { "9080": { mode: "STRICT" } },
    },
  }]);
  await cluster.until(() => reset(cluster, "outside", OUTSIDE));
  await served(cluster, "sleep");
  await cluster.remove(byPort);
  await cluster.until(() => served(cluster, "outside", OUTSIDE));
  await cluster.remove([{ apiVersion: "v1", kind: "Namespace", metadata: { name: OUTSIDE } }]);
};
