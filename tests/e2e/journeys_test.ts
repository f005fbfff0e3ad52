import {
  bundledDefinitions,
  type Definitions,
  releaseDefinitions,
  type ReleaseName,
} from "../support/gateway_api_release.ts";
import { NO_CLUSTER, TestCluster } from "../support/cluster.ts";
import { NO_KUBECTL, UserShell } from "../support/user_shell.ts";
import { azureCleanUp, azureInternalGateway } from "./journeys/azure_internal_gateway.ts";
import { eksBookinfo } from "./journeys/eks_bookinfo.ts";
import { gkeLayers } from "./journeys/gke_layers.ts";
import { kindClassic } from "./journeys/kind_classic.ts";
import { oldDefinitions } from "./journeys/old_definitions.ts";
import { underLoadJourney } from "./journeys/under_load.ts";
import type { Journey } from "./journeys/steps.ts";

interface Tutorial {
  readonly name: string;
  readonly journey: Journey;
  /** The release of the Gateway API that it names. The bundled definitions stand in for it, but where it is what is tested. */
  readonly release?: ReleaseName;
  readonly only?: boolean;
}

/** S1 and S3 end with the mesh uninstalled and the definitions deleted; S4 and what follows take over S0's cluster. */
const JOURNEYS: readonly Tutorial[] = [
  {
    name: "S1: the Gateway API, an ingress gateway with an internal address, closed until a Gateway exists",
    journey: azureInternalGateway,
    release: "v0.6.2",
  },
  {
    name: "S1: what an old Gateway API can do, and newer ones put over it under load",
    journey: oldDefinitions,
    release: "v0.6.2",
    only: true,
  },
  { name: "S1: the clean-up", journey: azureCleanUp },
  { name: "S3: L4 policy, L7 policy, a 90/10 split, and the clean-up", journey: gkeLayers, release: "v1.1.0" },
  {
    name: "S0: gateway, enrolment, L4 and L7 policy; the Gateway API comes after the mesh",
    journey: eksBookinfo,
    release: "v1.1.0",
  },
  { name: "S4: the classic gateway by v1alpha3, and what ztunnel's log shows", journey: kindClassic },
  { name: "S4: changes take effect at once, and a waypoint comes and goes under load", journey: underLoadJourney },
];

const missing = NO_CLUSTER ?? NO_KUBECTL;

Deno.test({
  name: `the tutorials, typed as they are written${missing ? ` (ignored: ${missing})` : ""}`,
  ignore: missing !== undefined,
  fn: async (t) => {
    await using cluster = await TestCluster.start({
      nodes: 2,
      mesh: "none",
      samples: "none",
      flags: ["--gateway-api=none"],
    });
    const shell = new UserShell(cluster.home), { dir } = cluster.home;
    const absent = new Map<ReleaseName, string>();
    const definitions = async (release: ReleaseName): Promise<Definitions> => {
      try {
        return await releaseDefinitions(release, dir);
      } catch (error) {
        absent.set(release, (error as Error).message);
        return bundledDefinitions(dir);
      }
    };
    const releases = { "v0.6.2": await definitions("v0.6.2"), "v1.1.0": await definitions("v1.1.0") };
    const wanted = Deno.env.get("JOURNEY") ?? "";
    for (const { name, journey, release, only = false } of JOURNEYS) {
      if (!wanted.split(",").some((one) => name.startsWith(one))) continue;
      const reason = release && absent.get(release);
      const note = !release ? "" : !reason ? ` [${release}]` : only ? ` (ignored: ${reason})` : ` [bundled: ${reason}]`;
      const ignore = only && reason !== undefined;
      const passed = await t.step({ name: `${name}${note}`, ignore, fn: () => journey(shell, releases) });
      if (!passed && !ignore) return;
    }
  },
});
