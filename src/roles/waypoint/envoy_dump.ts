// The same configuration in the shape of Envoy's `/config_dump`, for tools that read no other (Kiali's Envoy pages): names, addresses,
// matches and where they lead. What `ctl proxy-config` reads is the proxy's own form.

import type { Destination, EndpointSource, L7Listener, PathMatch, Route, VirtualHost } from "../../model/mod.ts";
import type { XdsNode } from "../../xds/client/mod.ts";

const ADMIN = "type.googleapis.com/envoy.admin.v3.";

export interface EnvoySources {
  readonly node: XdsNode;
  readonly listeners: readonly L7Listener[];
  readonly virtualHosts: readonly VirtualHost[];
  readonly destinations: readonly Destination[];
}

/** The entries of `configs`. */
export function envoyConfigs({ node, listeners, virtualHosts, destinations }: EnvoySources): unknown[] {
  const byListener = Map.groupBy(virtualHosts, ({ listener }) => listener);
  return [
    { "@type": `${ADMIN}BootstrapConfigDump`, bootstrap: { node } },
    {
      "@type": `${ADMIN}ClustersConfigDump`,
      dynamic_active_clusters: destinations.map((one) => ({ cluster: cluster(one) })),
    },
    {
      "@type": `${ADMIN}ListenersConfigDump`,
      dynamic_listeners: listeners.map((one) => ({
        name: one.name,
        active_state: { listener: listener(one) },
      })),
    },
    {
      "@type": `${ADMIN}RoutesConfigDump`,
      dynamic_route_configs: [...byListener].map(([name, hosts]) => ({
        route_config: {
          "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
          name,
          virtual_hosts: hosts.map((host) => ({
            name: host.name,
            domains: host.hostnames,
            routes: host.routes.map(route),
          })),
        },
      })),
    },
  ];
}

const CLUSTER_TYPES: Record<EndpointSource["kind"], string> = {
  service: "EDS",
  static: "STATIC",
  dns: "STRICT_DNS",
  original: "ORIGINAL_DST",
};

function cluster({ name, hostname, namespace, endpoints, rule }: Destination): unknown {
  const [ruleNamespace, ruleName] = rule.split("/");
  return {
    "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    name,
    type: CLUSTER_TYPES[endpoints.kind],
    metadata: istioMetadata({
      ...(rule === "" ? undefined : { config: configPath("DestinationRule", ruleNamespace, ruleName) }),
      services: [{ host: hostname, name: hostname.split(".")[0], namespace }],
    }),
  };
}

/** A waypoint's listeners are chains of its one port, told apart by the address asked for. */
function listener({ name, binding, protocol, hostnames, tls, tcp, httpsRedirect }: L7Listener): unknown {
  const address = binding.kind === "service" ? binding.addresses[0] ?? binding.hostname : "0.0.0.0";
  const port = binding.kind === "workload" ? 0 : binding.port;
  const names = hostnames.filter((hostname) => hostname !== "*");
  const encrypted = tls !== undefined || protocol === "TLS_PASSTHROUGH";
  const isTcp = protocol === "TCP" || protocol === "TLS_PASSTHROUGH";
  return {
    "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
    name,
    address: { socket_address: { address, port_value: port } },
    filter_chains: [{
      filter_chain_match: encrypted
        ? { transport_protocol: "tls", ...(names.length > 0 ? { server_names: names } : {}) }
        : undefined,
      filters: [
        isTcp
          ? {
            name: "envoy.filters.network.tcp_proxy",
            typed_config: {
              "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
              cluster: tcp?.destinations.map(({ destination }) => destination).join(", ") ?? "",
            },
          }
          : {
            name: "envoy.filters.network.http_connection_manager",
            typed_config: {
              "@type":
                "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
              // Every answer is a redirect: no routes are asked.
              ...(httpsRedirect ? {} : { rds: { route_config_name: name } }),
            },
          },
      ],
    }],
  };
}

function route({ name, origin, match, action }: Route): unknown {
  const [kind, namespace, object] = origin.split("/");
  return {
    name,
    match: { ...path(match.path), headers: match.headers.map((header) => ({ name: header.name })) },
    ...(kind === "VirtualService" ? { metadata: istioMetadata({ config: configPath(kind, namespace, object) }) } : {}),
    ...target(action),
  };
}

function path(match: PathMatch | undefined): Record<string, unknown> {
  if (match === undefined) return { prefix: "/" };
  switch (match.kind) {
    case "exact":
      return { path: match.value };
    case "prefix":
      return { [match.segments && match.value !== "/" ? "path_separated_prefix" : "prefix"]: match.value };
    case "regex":
      return { safe_regex: { regex: match.value } };
  }
}

function target(action: Route["action"]): Record<string, unknown> {
  if (action.kind === "redirect") return { redirect: { response_code: action.status, host_redirect: action.host } };
  if (action.kind === "direct") return { direct_response: { status: action.status } };
  const [first, ...others] = action.destinations;
  if (others.length === 0) return { route: { cluster: first?.destination ?? "" } };
  const clusters = action.destinations.map(({ destination, weight }) => ({ name: destination, weight }));
  return { route: { weighted_clusters: { clusters } } };
}

const istioMetadata = (istio: unknown) => ({ filter_metadata: { istio } });

/** As Istio writes it into metadata: `/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews`. */
function configPath(kind: string, namespace: string, name: string): string {
  const dashed = kind.replace(/(?<=[a-z])[A-Z]/g, "-$&").toLowerCase();
  return `/apis/networking.istio.io/v1/namespaces/${namespace}/${dashed}/${name}`;
}
