import { NO_CLUSTER, TestCluster } from "../support/cluster.ts";
import { badObjects } from "./scenarios/bad_objects.ts";
import { clientAddress } from "./scenarios/client_address.ts";
import { joining } from "./scenarios/joining.ts";
import { leaving } from "./scenarios/leaving.ts";
import { mutualTls } from "./scenarios/mutual_tls.ts";
import { policies } from "./scenarios/policies.ts";
import { restarts } from "./scenarios/restarts.ts";
import type { Scenario } from "./scenarios/scenario.ts";

/** In the order of a user's day; each leaves the namespace `default` enrolled and without policies, but the last. */
const SCENARIOS: readonly [name: string, run: Scenario][] = [
  ["Bookinfo joins the mesh without a restart (journey S4)", joining],
  ["L4 policies allow and deny by identity, address and port (S0 step 12, S3 steps 14-15)", policies],
  ["PeerAuthentication STRICT resets plain text", mutualTls],
  ["bad objects are refused with a clear error and lose nothing", badObjects],
  ["an application behind a waypoint sees its clients' addresses", clientAddress],
  ["istiod, the cni agent and ztunnel are killed while requests flow", restarts],
  ["leaving the mesh restores plain traffic; open connections live on", leaving],
];

Deno.test({
  name: `a mesh of two nodes, end to end${NO_CLUSTER ? ` (ignored: ${NO_CLUSTER})` : ""}`,
  ignore: NO_CLUSTER !== undefined,
  fn: async (t) => {
    await using cluster = await TestCluster.start({ nodes: 2, mesh: "ambient", samples: "none" });
    for (const [name, run] of SCENARIOS) {
      // Later scenarios need what earlier ones leave behind: the first failure ends the test.
      if (!await t.step(name, () => run(cluster))) return;
    }
  },
});
