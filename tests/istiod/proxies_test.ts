import assert from "node:assert/strict";
import type { Caller } from "../../src/identity/types.ts";
import { AmbientIndex, newRoutingInputs, type ProxyTarget, type RoutingStatus } from "../../src/index/mod.ts";
import type { KubeObject, Pod } from "../../src/kube/mod.ts";
import { spiffeId } from "../../src/model/identity.ts";
import type { ProxyResource } from "../../src/model/l7.ts";
import { DebugPages, type DebugSources } from "../../src/roles/istiod/debug_pages.ts";
import { identifyProxy } from "../../src/roles/istiod/proxy_identity.ts";
import { ProxyPublisher } from "../../src/roles/istiod/proxy_publisher.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { DiscoveryServer } from "../../src/xds/server/server.ts";
import type { XdsClientInfo } from "../../src/xds/resource.ts";
import { TYPE_URL } from "../../src/xds/types.ts";
import { eventually } from "../support/eventually.ts";

const lines: string[] = [];
const logger = new Logger("test", { sink: { write: (line) => void lines.push(line) } });

function pod(name: string, serviceAccount: string, labels: Record<string, string> = {}): Pod {
  return {
    metadata: { namespace: "default", name, uid: `uid-${name}`, labels },
    spec: { serviceAccountName: serviceAccount, containers: [] },
  };
}

const gateway = (name: string, gatewayClassName: string): KubeObject => ({
  metadata: { namespace: "default", name },
  spec: { gatewayClassName },
});

function inputs() {
  const all = newRoutingInputs(), of = (name: string) => ({ "gateway.networking.k8s.io/gateway-name": name });
  for (
    const one of [
      pod("wp-1", "wp", of("wp")),
      pod("gw-1", "gw-istio", of("gw")),
      pod("classic-1", "istio-ingressgateway", { istio: "ingressgateway" }),
      pod("lost-1", "lost", of("lost")),
      pod("other-1", "other", of("other")),
      pod("a.b-1", "dotted"),
      pod("plain-1", ""),
    ]
  ) all.pods.set(one);
  for (const one of [gateway("wp", "istio-waypoint"), gateway("gw", "istio"), gateway("other", "nginx")]) {
    all.gateways.set(one);
  }
  return all;
}

function client(
  podName: string,
  account: string | undefined,
  caller: Partial<Caller> = {},
  namespace = "default",
): XdsClientInfo {
  return {
    nodeId: `waypoint~10.0.0.1~${podName}~default.svc.cluster.local`,
    proxyType: "waypoint",
    podName,
    namespace: "default",
    metadata: {},
    caller: account === undefined ? undefined : {
      authenticator: "kubernetesToken",
      identities: [spiffeId({ trustDomain: "cluster.local", namespace, serviceAccount: account })],
      ...caller,
    },
    peerAddress: "10.0.0.1:1",
  };
}

const bound = (podName: string, podUid: string): Partial<Caller> => ({
  kubernetes: { clusterId: "Kubernetes", namespace: "default", serviceAccount: "wp", podName, podUid },
});

Deno.test("identifyProxy takes the pod's word through its account, and nobody else's", () => {
  const all = inputs();
  const rows: [XdsClientInfo, Partial<ProxyTarget> | RegExp][] = [
    [client("wp-1.default", "wp"), { kind: "waypoint", gateway: "wp" }],
    [client("wp-1.default", "wp", bound("wp-1", "uid-wp-1")), { kind: "waypoint", gateway: "wp" }],
    [client("gw-1.default", "gw-istio"), { kind: "gateway", gateway: "gw" }],
    [
      client("classic-1.default", "istio-ingressgateway"),
      { kind: "gateway", labels: { istio: "ingressgateway" } } as Partial<ProxyTarget>,
    ],
    [client("a.b-1.default", "dotted"), { kind: "gateway" }],
    [client("plain-1.default", "default"), { kind: "gateway" }],
    [client("wp-1.default", undefined), /no identity/],
    [client("wp-1.default", "evil"), /runs as "default\/wp"/],
    [client("wp-1.default", "wp", {}, "elsewhere"), /runs as "default\/wp"/],
    [client("wp-1.default", "wp", { identities: [] }), /runs as/],
    [client("wp-1.default", "wp", { identities: ["spiffe://cluster.local/nonsense" as never] }), /runs as/],
    [client("wp-1.default", "wp", bound("wp-2", "uid-wp-1")), /bound to another pod/],
    [client("wp-1.default", "wp", bound("wp-1", "uid-of-an-earlier-one")), /bound to another pod/],
    [client("wp-9.default", "wp"), /no pod "default\/wp-9"/],
    [client("wp-1", "wp"), /no pod/],
    [client("", "wp"), /no pod/],
    [client("../../etc.default", "wp"), /no pod/],
    [client("lost-1.default", "lost"), /no Gateway "default\/lost"/],
    [client("other-1.default", "other"), /class that is not ours/],
  ];
  for (const [who, expected] of rows) {
    const identified = identifyProxy(who, all);
    if (expected instanceof RegExp) assert.match("refused" in identified ? identified.refused : "", expected);
    else {
      assert.ok("target" in identified, JSON.stringify(identified));
      for (const [key, value] of Object.entries(expected)) assert.deepEqual((identified.target as any)[key], value);
    }
  }
  // A class of the user's own, with our controller.
  all.gatewayClasses.set({ metadata: { name: "nginx" }, spec: { controllerName: "istio.io/gateway-controller" } });
  assert.ok("target" in identifyProxy(client("other-1.default", "other"), all));
});

const SECRET: ProxyResource = {
  kind: "secret",
  name: "kubernetes://default/cert",
  certificateChain: "CHAIN",
  privateKey: "hush",
};

function lab(configOf: (target: ProxyTarget) => readonly ProxyResource[]) {
  const all = inputs(), statuses: RoutingStatus[] = [];
  let told = 0;
  const proxies = new ProxyPublisher({
    inputs: all,
    routing: { changed: () => told++, proxyConfig: configOf, statuses: () => statuses },
    facts: () => undefined,
    mayReadSecrets: () => true,
    logger,
  });
  const sources: DebugSources = {
    discovery: new DiscoveryServer({ logger }),
    index: new AmbientIndex(all),
    inputs: all,
    proxies,
    mesh: () => ({}),
    clusterId: "c1",
    synced: () => true,
  };
  const pages = new DebugPages(sources);
  return { all, proxies, pages, sources, told: () => told };
}

Deno.test("debug pages show what proxies were told, without private keys", () => {
  const { all, proxies, pages } = lab(() => [SECRET]);
  all.secrets.set({ metadata: { namespace: "default", name: "cert" }, data: { "tls.key": btoa("hush") } });
  const wp = client("wp-1.default", "wp");
  proxies.source.opened(wp);
  const [dump] = JSON.parse(pages.json("config_dump")!);
  assert.deepEqual([dump.proxy, dump.target], ["wp-1.default", {
    kind: "waypoint",
    namespace: "default",
    gateway: "wp",
  }]);
  assert.deepEqual(dump.resources, [{ ...SECRET, privateKey: "[redacted]" }]);
  assert.equal(pages.json("config_dump", new URLSearchParams("proxyID=gw-1.default")), "[]");
  for (const name of pages.names) assert.doesNotMatch(pages.json(name)!, /hush|aHVzaA/, name);
  assert.doesNotMatch(lines.join("\n"), /hush/);
});

Deno.test("syncz tells Envoy's four types of a waypoint as Kiali and istioctl read them, of a ztunnel its own", () => {
  const subscription = (nonceSent: string, nonceAcked = nonceSent) => ({
    ...{ nonceSent, nonceAcked, nackMessage: "" },
    status: nonceSent === nonceAcked ? "SYNCED" : "STALE",
  });
  const addresses: [string, unknown] = [TYPE_URL.address, subscription("n1")];
  const connections = [
    {
      client: { ...client("wp-1.default", "wp"), metadata: { CLUSTER_ID: "c1" } },
      subscriptions: new Map([addresses, [TYPE_URL.proxyResource, subscription("n2", "n0")]]),
    },
    {
      client: { ...client("ztunnel-1.istio-system", ""), metadata: {} },
      subscriptions: new Map([addresses]),
    },
  ];
  const pages = new DebugPages({
    ...lab(() => []).sources,
    discovery: { connections: () => connections } as unknown as DiscoveryServer,
  });
  const [waypoint, ztunnel] = JSON.parse(pages.json("syncz")!);
  assert.deepEqual([waypoint.cluster_id, waypoint.endpoint_sent, waypoint.endpoint_acked], ["c1", "n1", "n1"]);
  for (const kind of ["cluster", "listener", "route"]) {
    assert.deepEqual([waypoint[`${kind}_sent`], waypoint[`${kind}_acked`]], ["n2", "n0"]);
  }
  assert.deepEqual(ztunnel.resources, { [TYPE_URL.address]: { sent: "n1", acked: "n1" } });
  assert.equal(ztunnel.cluster_sent, undefined);
  const own = JSON.parse(pages.json("syncz", new URLSearchParams("namespace=istio-system"))!);
  assert.deepEqual(own.map(({ proxy }: { proxy: string }) => proxy), ["ztunnel-1.istio-system"]);
});

Deno.test("what cannot be computed for one proxy leaves it what it has, and the others served", async () => {
  const configs: Record<string, readonly ProxyResource[]> = {}, base = { ...SECRET, name: "1" };
  let broken = "";
  const { proxies, told } = lab((target) => {
    if (target.gateway === broken) throw new Error("a bug");
    return configs[target.gateway ?? ""] ?? [base];
  });
  const wp = client("wp-1.default", "wp"), gw = client("gw-1.default", "gw-istio");
  for (const one of [wp, gw]) proxies.source.opened(one);
  const names = (of: XdsClientInfo) => [...proxies.source.snapshot(of)].map(({ name }) => name);
  broken = "wp";
  configs.gw = [{ ...SECRET, name: "2" }];
  for (let i = 0; i < 3; i++) proxies.changed();
  await eventually(() => assert.deepEqual(names(gw), ["secret/2"]));
  assert.deepEqual(names(wp), ["secret/1"]);
  assert.equal(told(), 1, "three changes in one turn are one computation");
  assert.match(lines.join("\n"), /cannot compute a proxy's configuration.*a bug/);
  proxies.close();
});
