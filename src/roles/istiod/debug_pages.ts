// /debug/*: what istiod knows, as JSON, with Istio's names for the pages.

import type { AmbientIndex, RoutingInputs } from "../../index/mod.ts";
import type { ProxyResource } from "../../model/l7.ts";
import type { DebugHandler, DebugResource, DiscoveryServer } from "../../xds/server/server.ts";
import { adsz, syncz, synczResources } from "../../xds/server/debug.ts";
import { TYPE_URL } from "../../xds/types.ts";
import { parseSpiffeId } from "../../model/identity.ts";
import type { Caller } from "../../identity/types.ts";
import type { ProxyPublisher } from "./proxy_publisher.ts";

export interface DebugSources {
  readonly discovery: DiscoveryServer;
  readonly index: AmbientIndex;
  readonly inputs: RoutingInputs;
  /** L7 proxies with what they were told. */
  readonly proxies: ProxyPublisher;
  readonly mesh: () => unknown;
  readonly clusterId: string;
  readonly synced: () => boolean;
}

/** Inputs that are configuration of the mesh. */
const CONFIG_INPUTS = [
  "authorizationPolicies",
  "peerAuthentications",
  "gatewayClasses",
  "gateways",
  "httpRoutes",
  "grpcRoutes",
  "tcpRoutes",
  "tlsRoutes",
  "udpRoutes",
  "backendTlsPolicies",
  "requestAuthentications",
  "telemetries",
  "envoyFilters",
  "wasmPlugins",
  "trafficExtensions",
  "proxyConfigs",
  "sidecars",
  "workloadGroups",
  "listenerSets",
  "referenceGrants",
  "istioGateways",
  "virtualServices",
  "destinationRules",
  "serviceEntries",
  "workloadEntries",
] as const satisfies (keyof RoutingInputs)[];

interface Page {
  readonly doc: string;
  readonly show: (query: URLSearchParams) => unknown;
}

export class DebugPages {
  readonly #pages: Readonly<Record<string, Page>>;
  readonly #sources: DebugSources;

  constructor(sources: DebugSources) {
    this.#sources = sources;
    const { discovery, index, inputs, mesh, clusterId, synced } = sources;
    this.#pages = {
      syncz: {
        doc: "Proxies and whether they are up to date; ?namespace= for those of one",
        show: (query) => this.#syncz(query.get("namespace")),
      },
      adsz: { doc: "Connected proxies and what they watch", show: () => adsz(discovery.connections()) },
      connections: {
        doc: "Connected proxies",
        show: () =>
          discovery.connections().map(({ id, client, peerAddress, connectedAt }) => ({
            connectionId: id,
            proxy: client?.podName,
            address: peerAddress,
            connectedAt,
          })),
      },
      ambientz: {
        doc: "The ambient index: workloads, services, policies",
        show: () => ({
          workloads: [...index.workloads.values()],
          services: [...index.services.values()],
          policies: [...index.policies.values()],
        }),
      },
      registryz: { doc: "Services", show: () => [...index.services.values()] },
      instancesz: { doc: "Workloads", show: () => [...index.workloads.values()] },
      authorizationz: {
        doc: "Policies as ztunnel gets them, and their statuses",
        show: () => ({
          policies: [...index.policies.values()],
          statuses: [...index.statuses.values()],
          peerAuthenticationProblems: Object.fromEntries(index.peerProblems),
        }),
      },
      configz: {
        doc: "Mesh configuration objects as read from the API",
        // Secrets and ConfigMaps are not the mesh's to show.
        show: () => CONFIG_INPUTS.flatMap((name) => [...inputs[name].values()]),
      },
      config_dump: {
        doc: "What L7 proxies were told; ?proxyID=<pod>.<namespace> for one. Private keys are left out",
        show: (query) => this.#configDump(query.get("proxyID")),
      },
      mesh: { doc: "The mesh configuration", show: mesh },
      clusterz: { doc: "Clusters", show: () => [{ id: clusterId, syncStatus: synced() ? "synced" : "initializing" }] },
      list: { doc: "These pages", show: () => this.names },
    };
  }

  get names(): string[] {
    return Object.keys(this.#pages);
  }

  /** The JSON of a page; undefined when there is none of that name. */
  json(name: string, query: URLSearchParams = new URLSearchParams()): string | undefined {
    if (!Object.hasOwn(this.#pages, name)) return undefined;
    return JSON.stringify(
      this.#pages[name].show(query),
      (_, value) => value instanceof Map ? Object.fromEntries(value) : value,
      2,
    );
  }

  /** The page that lists the pages. */
  html(): string {
    const rows = Object.entries(this.#pages).map(([name, { doc }]) =>
      `<tr><td><a href="/debug/${name}">/debug/${name}</a></td><td>${doc}</td></tr>`
    );
    return `<!DOCTYPE html><html><head><title>istiod debug</title></head><body><h1>istiod</h1><table>\n${
      rows.join("\n")
    }\n</table></body></html>\n`;
  }

  #configDump(proxy: string | null): unknown {
    const dumps = [...this.#sources.proxies.configs()].filter(({ client }) =>
      proxy === null || client.podName === proxy
    );
    return dumps.map(({ client, target, config }) => ({
      proxy: client.podName,
      type: client.proxyType,
      target,
      resources: config.map(redacted),
    }));
  }

  /**
   * Istio's list: the state of each type as `istioctl proxy-status` reads it, and the nonces that Kiali compares. Envoy's four types
   * are there for waypoints and gateways by what carries the same to ours: endpoints by Address, the rest by ProxyResource.
   */
  #syncz(namespace: string | null): unknown {
    const chosen = syncz(this.#sources.discovery.connections())
      .filter(({ proxy }) => namespace === null || proxy.endsWith(`.${namespace}`));
    return chosen.map(({ types, ...proxy }) => {
      const { [TYPE_URL.proxyResource]: config, [TYPE_URL.address]: addresses } = types;
      return {
        ...proxy,
        ...(config && {
          ...nonces("cluster", config),
          ...nonces("listener", config),
          ...nonces("route", config),
          ...(addresses && nonces("endpoint", addresses)),
        }),
        resources: Object.fromEntries(
          Object.entries(types).map(([type, { sent, acked, error }]) => [type, { sent, acked, lastError: error }]),
        ),
        generic_xds_configs: Object.entries(types).map(([type_url, { status, error }]) => ({
          type_url,
          config_status: status,
          ...(error ? { error_state: { details: error } } : {}),
        })),
      };
    });
  }

  /** The pages over xDS, type `istio.io/debug`: as istioctl asks. */
  xdsHandler(mayRead: (caller: Caller | undefined, peerAddress: string) => boolean): DebugHandler {
    return (typeUrl, names, client): Promise<DebugResource[]> => {
      if (!mayRead(client.caller, client.peerAddress)) return Promise.resolve([]);
      const asked = typeUrl === TYPE_URL.debug ? names : [typeUrl.slice(TYPE_URL.debug.length + 1)];
      return Promise.resolve(asked.flatMap((question) => {
        const [name, query] = question.split("?");
        if (name === "syncz") return synczResources(this.#sources.discovery.connections());
        const text = this.json(name, new URLSearchParams(query));
        if (text === undefined) return [];
        return [{ name, aliases: [], version: "", bytes: new TextEncoder().encode(text), typeUrl: TYPE_URL.debug }];
      }));
    };
  }
}

/** Who may read debug pages: anyone on loopback, and identities of the system namespace. */
export function debugReader(
  systemNamespace: () => string,
): (caller: Caller | undefined, peerAddress: string) => boolean {
  return (caller, peerAddress) =>
    isLoopback(peerAddress) ||
    (caller?.identities.some((id) => parseSpiffeId(id)?.namespace === systemNamespace()) ?? false);
}

/** Whether an address, with or without its port, is this machine's own. */
export function isLoopback(address: string): boolean {
  return /^(\[)?(::ffff:)?127\.\d+\.\d+\.\d+(\])?(:\d+)?$/.test(address) || /^(::1|\[::1\](:\d+)?)$/.test(address);
}

const nonces = (kind: string, { sent, acked }: { sent: string; acked: string }): Record<string, string> => ({
  [`${kind}_sent`]: sent,
  [`${kind}_acked`]: acked,
});

/** Without private keys; istiod's pages are read by people and gathered into bug reports. */
function redacted(resource: ProxyResource): ProxyResource {
  return resource.kind === "secret" ? { ...resource, privateKey: resource.privateKey && "[redacted]" } : resource;
}
