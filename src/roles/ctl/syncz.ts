import { MeshError } from "../../core/errors.ts";
import type { KubeClient, KubeJson } from "./kube.ts";
import { podRequest } from "./port_forward.ts";

/** One proxy's connection as istiod's /debug/syncz tells it. */
export interface ProxyStatus {
  readonly proxy: string;
  readonly type: string;
  readonly cluster: string;
  readonly version: string;
  /** Pod of the istiod that serves the proxy. */
  readonly istiod: string;
  /** State by short type name (CDS, WDS, …): SYNCED, STALE, NOT SENT, … */
  readonly types: ReadonlyMap<string, string>;
}

/** Asks every istiod which proxies it serves. @throws MeshError `pod_unreachable`, `bad_answer` */
export async function syncStatus(client: KubeClient, istiods: readonly KubeJson[]): Promise<ProxyStatus[]> {
  const all = await Promise.all(istiods.map(async ({ metadata: { namespace, name } }) => {
    const { status, body } = await podRequest(client, namespace, name, 15014, "GET", "/debug/syncz");
    if (status !== 200) {
      throw new MeshError(
        "bad_answer",
        `cannot get the proxies of "${namespace}/${name}": it answered status ${status}`,
      );
    }
    return readSyncz(body, name);
  }));
  return all.flat().sort((a, b) => a.proxy < b.proxy ? -1 : 1);
}

const TYPE_NAMES: Record<string, string> = {
  "istio.workload.Address": "WDS",
  "istio.workload.Workload": "WDS",
  "istio.security.Authorization": "WADS",
  // ambientd's own type, which carries what CDS, LDS, RDS and SDS carry to Envoy.
  "ambientd.proxy.v1.ProxyResource": "PDS",
  "envoy.config.cluster.v3.Cluster": "CDS",
  "envoy.config.listener.v3.Listener": "LDS",
  "envoy.config.route.v3.RouteConfiguration": "RDS",
  "envoy.config.endpoint.v3.ClusterLoadAssignment": "EDS",
  "envoy.config.core.v3.TypedExtensionConfig": "ECDS",
  "envoy.extensions.transport_sockets.tls.v3.Secret": "SDS",
};

/** Reads istiod's JSON: a list of flat objects, or ClientConfigs with one entry for each type. @throws MeshError `bad_answer` */
export function readSyncz(body: string, istiod: string): ProxyStatus[] {
  let entries: any[];
  try {
    const json = JSON.parse(body);
    entries = Array.isArray(json) ? json : json.resources ?? [];
    if (!Array.isArray(entries)) throw new Error("it is not a list");
  } catch (cause) {
    throw new MeshError("bad_answer", `cannot read the proxies of istiod "${istiod}"`, { cause });
  }
  return entries.filter((entry) => entry !== null).map((entry): ProxyStatus => {
    const metadata = entry.node?.metadata ?? {};
    return {
      proxy: readName(entry.proxy ?? entry.node?.id ?? ""),
      type: entry.proxy_type ?? entry.node?.id?.split("~")[0] ?? "",
      cluster: entry.cluster_id ?? metadata.CLUSTER_ID ?? "",
      version: entry.istio_version ?? metadata.ISTIO_VERSION ?? "",
      istiod,
      types: readTypes(entry),
    };
  });
}

/** `type~ip~name.namespace~domain` is a node id; its third part is the proxy's name. */
function readName(id: string): string {
  return id.split("~")[2] ?? id;
}

function readTypes(entry: any): Map<string, string> {
  const types = new Map<string, string>();
  for (const item of entry.generic_xds_configs ?? entry.genericXdsConfigs ?? []) {
    const url = String(item.type_url ?? item.typeUrl ?? "");
    const full = url.slice(url.lastIndexOf("/") + 1);
    const state = String(item.config_status ?? item.configStatus ?? "SYNCED");
    types.set(TYPE_NAMES[full] ?? full, state.replaceAll("_", " "));
  }
  // ambientd's istiod has both forms: the nonces are there for Kiali.
  if (types.size > 0) return types;
  for (const kind of ["cluster", "listener", "route", "endpoint", "extensionconfig"]) {
    const sent = entry[`${kind}_sent`];
    if (sent === undefined) continue;
    const name = { cluster: "CDS", listener: "LDS", route: "RDS", endpoint: "EDS", extensionconfig: "ECDS" }[kind]!;
    types.set(name, sent === "" ? "NOT SENT" : sent === entry[`${kind}_acked`] ? "SYNCED" : "STALE");
  }
  const subscribed = entry.subscribed_types ?? entry.subscribedTypes;
  if (Array.isArray(subscribed)) {
    for (const url of subscribed.map(String)) {
      const full = url.slice(url.lastIndexOf("/") + 1);
      const name = TYPE_NAMES[full] ?? full;
      if (!types.has(name)) types.set(name, "SYNCED");
    }
  }
  return types;
}
