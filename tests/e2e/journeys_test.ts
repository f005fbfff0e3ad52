import { NO_CLUSTER, TestCluster } from "../support/cluster.ts";
import { NO_KUBECTL, UserShell } from "../support/user_shell.ts";
import { azureInternalGateway } from "./journeys/azure_internal_gateway.ts";
import { eksBookinfo } from "./journeys/eks_bookinfo.ts";
import { gkeLayers } from "./journeys/gke_layers.ts";
import { kindClassic } from "./journeys/kind_classic.ts";
import { underLoadJourney } from "./journeys/under_load.ts";
import type { Journey } from "./journeys/steps.ts";

/** The first two end with the mesh uninstalled; S4 and what follows take over S0's cluster. */
const JOURNEYS: readonly [name: string, journey: Journey][] = [
  ["S1: an ingress gateway with an internal address, closed until a Gateway exists", azureInternalGateway],
  ["S3: L4 policy, L7 policy, a 90/10 split, and the clean-up", gkeLayers],
  ["S0: gateway, enrolment, L4 and L7 policy; the Gateway API comes after the mesh", eksBookinfo],
  ["S4: the classic gateway by v1alpha3, and what ztunnel's log shows", kindClassic],
  ["S4: changes take effect at once, and a waypoint comes and goes under load", underLoadJourney],
];

const missing = NO_CLUSTER ?? NO_KUBECTL;

Deno.test({
  name: `the tutorials, typed as they are written${missing ? ` (ignored: ${missing})` : ""}`,
  ignore: missing !== undefined,
  fn: async (t) => {
    await using cluster = await TestCluster.start({ nodes: 2, mesh: "none", samples: "none" });
    const shell = new UserShell(cluster.home);
    const wanted = Deno.env.get("JOURNEY") ?? "";
    for (const [name, journey] of JOURNEYS.filter(([name]) => wanted.split(",").some((one) => name.startsWith(one)))) {
      if (!await t.step(name, () => journey(shell))) return;
    }
  },
});
