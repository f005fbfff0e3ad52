import assert from "node:assert/strict";
import {
  DEFAULT_LIMITS,
  type Destination,
  type L7Listener,
  type Route,
  type VirtualHost,
} from "../../../src/model/mod.ts";
import { envoyConfigs } from "../../../src/roles/waypoint/envoy_dump.ts";

const destination = (name: string, kind: "service" | "dns", rule = ""): Destination => ({
  kind: "destination",
  name,
  hostname: "reviews.default.svc.cluster.local",
  namespace: "default",
  port: 9080,
  subset: "v1",
  endpoints: kind === "dns" ? { kind, endpoints: [] } : { kind, service: "default/reviews" },
  protocol: "HTTP1",
  loadBalancer: { policy: "LEAST_REQUEST" },
  limits: DEFAULT_LIMITS,
  useWaypoint: false,
  rule,
});

const listener = (name: string, more: Partial<L7Listener>): L7Listener => ({
  kind: "listener",
  name,
  binding: { kind: "port", port: 80 },
  protocol: "HTTP",
  hostnames: ["*"],
  httpsRedirect: false,
  origin: "Gateway/default/g",
  ...more,
});

const route = (name: string, more: Partial<Route>): Route => ({
  name,
  origin: "HTTPRoute/default/r",
  match: { headers: [], query: [] },
  action: { kind: "forward", destinations: [{ destination: "outbound|9080|v1|reviews", weight: 1 }], mirrors: [] },
  ...more,
});

Deno.test("envoyConfigs() has the fields that Kiali reads of clusters, listeners and routes", () => {
  const host: VirtualHost = {
    kind: "virtualHost",
    name: "shop",
    listener: "http.80",
    hostnames: ["shop.example.com"],
    routes: [
      route("exact", {
        origin: "VirtualService/default/bookinfo",
        match: { path: { kind: "exact", value: "/login" }, headers: [], query: [] },
      }),
      route("split", {
        match: { path: { kind: "prefix", value: "/api", segments: true }, headers: [], query: [] },
        action: {
          kind: "forward",
          destinations: [{ destination: "a", weight: 90 }, { destination: "b", weight: 10 }],
          mirrors: [],
        },
      }),
      route("moved", {
        match: { path: { kind: "regex", value: "/old.*" }, headers: [], query: [] },
        action: { kind: "redirect", status: 301, host: "new.example.com", portRule: "LISTENER" },
      }),
      route("gone", { action: { kind: "direct", status: 410, body: "" } }),
    ],
  };
  const [bootstrap, clusters, listeners, routes] = envoyConfigs({
    node: { id: "router~10.0.0.1~g.default~default.svc.cluster.local", metadata: {} },
    listeners: [
      listener("http.80", {}),
      listener("https.443", {
        binding: { kind: "port", port: 443 },
        hostnames: ["shop.example.com"],
        tls: { mode: "SIMPLE", secrets: [], minVersion: "TLSv1_2" },
      }),
      listener("tcp.7", {
        protocol: "TCP",
        tcp: { destinations: [{ destination: "t", weight: 1 }] },
        binding: { kind: "service", service: "default/t", hostname: "t", addresses: ["10.96.0.7"], port: 7 },
      }),
    ],
    virtualHosts: [host],
    destinations: [destination("a", "service", "default/reviews"), destination("b", "dns")],
  }) as any[];
  assert.match(bootstrap.bootstrap.node.id, /^router~/);

  const [a, b] = clusters.dynamic_active_clusters.map(({ cluster }: any) => cluster);
  assert.deepEqual([a.name, a.type, b.type], ["a", "EDS", "STRICT_DNS"]);
  const rule = "/apis/networking.istio.io/v1/namespaces/default/destination-rule/reviews";
  assert.deepEqual([a, b].map((one) => one.metadata.filter_metadata.istio.config), [rule, undefined]);

  const shown = listeners.dynamic_listeners.map(({ active_state }: any) => active_state.listener);
  assert.deepEqual(shown.map(({ address }: any) => Object.values(address.socket_address).join(":")), [
    "0.0.0.0:80",
    "0.0.0.0:443",
    "10.96.0.7:7",
  ]);
  const [http, https, tcp] = shown.map(({ filter_chains: [chain] }: any) => chain);
  assert.equal(http.filters[0].typed_config.rds.route_config_name, "http.80");
  assert.deepEqual(https.filter_chain_match, { transport_protocol: "tls", server_names: ["shop.example.com"] });
  assert.equal(tcp.filters[0].typed_config.cluster, "t");

  const [{ route_config }] = routes.dynamic_route_configs;
  assert.equal(route_config.name, "http.80");
  const [{ domains, routes: [exact, split, moved, gone] }] = route_config.virtual_hosts;
  assert.deepEqual(domains, ["shop.example.com"]);
  assert.equal(exact.match.path, "/login");
  assert.match(exact.metadata.filter_metadata.istio.config, /\/virtual-service\/bookinfo$/);
  assert.equal(split.match.path_separated_prefix, "/api");
  assert.deepEqual(split.route.weighted_clusters.clusters, [{ name: "a", weight: 90 }, { name: "b", weight: 10 }]);
  assert.deepEqual([moved.match.safe_regex.regex, moved.redirect.response_code], ["/old.*", 301]);
  assert.deepEqual([gone.match.prefix, gone.direct_response.status, gone.route], ["/", 410, undefined]);
});
