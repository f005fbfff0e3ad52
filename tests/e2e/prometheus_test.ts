// A real Prometheus in an embedded cluster: it discovers and scrapes every role, and answers what Kiali and Grafana ask.

import assert from "node:assert/strict";
import { findProgram } from "../../src/cluster/runtime/host.ts";
import { NO_CLUSTER, TestCluster } from "../support/cluster.ts";

const NEEDED = ["prometheus", "promtool"];
const missing = NEEDED.filter((name) => !findProgram(name));
const because = NO_CLUSTER ??
  (missing.length > 0 ? `there is no ${missing.join(", no ")}: apt install prometheus` : "");

const ADDONS = new URL("../../manifests/samples/addons/", import.meta.url);
const WAYPOINT = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: waypoint, labels: { istio.io/waypoint-for: service } }
spec:
  gatewayClassName: istio-waypoint
  listeners: [{ name: mesh, port: 15008, protocol: HBONE }]
`;

/** How Kiali groups the series of a graph (graph/telemetry/istio). */
const KIALI = "source_cluster,source_workload_namespace,source_workload,source_canonical_service," +
  "source_canonical_revision,destination_cluster,destination_service_namespace,destination_service," +
  "destination_service_name,destination_workload_namespace,destination_workload,destination_canonical_service," +
  "destination_canonical_revision";

/** Expressions of Kiali and of Istio's dashboards, and how many series at least each must find. */
const QUERIES: [expression: string, series: number][] = [
  // Kiali's edges: ztunnel's are told by the pod's label.
  [`sum(rate(istio_tcp_sent_bytes_total{app="ztunnel"}[10s])) by (${KIALI},app,response_flags) > 0`, 4],
  [
    `sum(rate(istio_requests_total{reporter="waypoint"}[10s])) by (${KIALI},request_protocol,response_code,` +
    "grpc_response_status,response_flags) > 0",
    3,
  ],
  [`sum(istio_requests_total{reporter="source",source_workload="bookinfo-gateway-istio"}) by (${KIALI})`, 1],
  // Its padlock and the identities beside it.
  [
    'sum(istio_requests_total{reporter="waypoint",connection_security_policy="mutual_tls",' +
    'source_principal="spiffe://cluster.local/ns/default/sa/sleep",' +
    'destination_principal="spiffe://cluster.local/ns/default/sa/bookinfo-productpage",' +
    'destination_service_name="productpage",destination_workload="productpage-v1",response_flags="-"})',
    1,
  ],
  ['count(istio_tcp_connections_opened_total{app="ztunnel",connection_security_policy="mutual_tls"})', 1],
  // Every version of reviews.
  ['sum by (destination_workload) (istio_requests_total{destination_service_name="reviews",response_code="200"})', 3],
  // Grafana.
  [
    'histogram_quantile(0.9, sum(rate(istio_request_duration_milliseconds_bucket{reporter="waypoint"}[10s])) by (le))',
    1,
  ],
  ["sum(istio_request_bytes_sum) + sum(istio_response_bytes_sum)", 1],
  ["sum(istio_build) by (component, tag)", 4],
  ['sum by (pod) (workload_manager_active_proxy_count{pod=~"ztunnel-.*"})', 2],
  ['sum by (url) (istio_xds_message_total{app="ztunnel"})', 2],
  ['pilot_info{app="istiod"}', 1],
  ["histogram_quantile(0.5, sum(rate(pilot_proxy_convergence_time_bucket[1m])) by (le))", 1],
  ["sum by (type, event) (pilot_k8s_reg_events)", 4],
  ["sum by (type, event) (pilot_k8s_cfg_events)", 2],
  ['go_goroutines{app="istiod"}', 1],
  ['sum by (pod) (container_memory_working_set_bytes{container="istio-proxy"})', 4],
  ['sum by (pod) (rate(container_cpu_usage_seconds_total{container="discovery",pod=~"istiod-.*"}[10s]))', 1],
  // The application's own, scraped through the mesh.
  ['request_result_total{destination_app="reviews"}', 1],
];

/** What promtool finds in Istio's own names, too. */
const ISTIO_NAMES =
  /^(citadel_server_\w+_count|workload_manager_(active|pending)_proxy_count|pilot_(xds_pushes|push_triggers|inbound_updates|total_xds_rejects|k8s_(reg|cfg)_events)|istio_request_duration_milliseconds) /;

Deno.test({
  name: `Prometheus scrapes every role and answers Kiali and Grafana${because ? ` (ignored: ${because})` : ""}`,
  ignore: because !== "",
  fn: async () => {
    await using cluster = await TestCluster.start({ samples: "bookinfo" });
    const config = await Deno.readTextFile(new URL("prometheus.yaml", ADDONS));
    // As shipped but for patience.
    await cluster.apply(config.replace("scrape_interval: 15s", "scrape_interval: 1s").replace("out: 10s", "out: 1s"));
    await cluster.applyFile("samples/bookinfo/gateway-api/bookinfo-gateway.yaml");
    await cluster.apply(WAYPOINT);
    await cluster.label("default", { "istio.io/use-waypoint": "waypoint" });
    const server = await cluster.until(async () => {
      const [pod] = await cluster.pods("app.kubernetes.io/name=prometheus", "istio-system");
      assert.ok(pod);
      for (const name of ["waypoint", "bookinfo-gateway"]) {
        assert.equal((await cluster.pods(`gateway.networking.k8s.io/gateway-name=${name}`)).length, 1);
      }
      return pod;
    }, 60_000);
    const api = async (path: string) => JSON.parse(await cluster.get(server, 9090, `/api/v1/${path}`)).data;

    const expected = {
      "kubernetes-api-servers": 1,
      "kubernetes-nodes": 2,
      "kubernetes-nodes-cadvisor": 2,
      "kubernetes-pods": 8, // istiod, two agents, two ztunnels, waypoint, gateway, productpage
      prometheus: 1,
    };
    await cluster.until(async () => {
      const targets: any[] = (await api("targets?state=active")).activeTargets;
      const down = targets.filter(({ health }) => health !== "up").map((
        { scrapeUrl, lastError },
      ) => [scrapeUrl, lastError]);
      assert.deepEqual(down, []);
      const counts: Record<string, number> = {};
      for (const { scrapePool } of targets) counts[scrapePool] = (counts[scrapePool] ?? 0) + 1;
      assert.deepEqual(counts, expected);
    }, 60_000);

    const traffic = "for i in 1 2 3 4 5; do curl -s -m 10 -o /dev/null http://productpage:9080/productpage;" +
      " curl -s -m 10 -o /dev/null http://bookinfo-gateway-istio/productpage; done";
    let pending = QUERIES;
    await cluster.until(async () => {
      await cluster.exec("sleep", ["sh", "-c", traffic]);
      const found = await Promise.all(
        pending.map(async ([expression]) => (await api(`query?query=${encodeURIComponent(expression)}`)).result.length),
      );
      pending = pending.filter(([, series], i) => !(found[i] >= series));
      assert.deepEqual(pending, []);
    }, 60_000);

    const endpoints: [selector: string, namespace: string, port: number, path: string][] = [
      ["app=istiod", "istio-system", 15014, "/metrics"],
      ["k8s-app=istio-cni-node", "istio-system", 15014, "/metrics"],
      ["app=ztunnel", "istio-system", 15020, "/metrics"],
      ["gateway.networking.k8s.io/gateway-name=waypoint", "default", 15020, "/stats/prometheus"],
      ["gateway.networking.k8s.io/gateway-name=bookinfo-gateway", "default", 15090, "/stats/prometheus"],
    ];
    for (const [selector, namespace, port, path] of endpoints) {
      const [pod] = await cluster.pods(selector, namespace);
      const complaints = await promtool(await cluster.get(pod, port, path));
      assert.deepEqual(complaints.filter((line) => !ISTIO_NAMES.test(line)), [], selector);
    }
  },
});

/** What `promtool check metrics` says of a text. */
async function promtool(text: string): Promise<string[]> {
  const child = new Deno.Command("promtool", {
    args: ["check", "metrics"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { stdout, stderr } = await child.output();
  const lines = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return lines.split("\n").filter((line) => line !== "");
}
