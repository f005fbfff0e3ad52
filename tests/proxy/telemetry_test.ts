import assert from "node:assert/strict";
import type { SpiffeId } from "../../src/model/mod.ts";
import { ConnectionAccount, type ConnectionFacts, logEarlyFailure, TrafficMetrics } from "../../src/proxy/telemetry.ts";
import { Logger, LogLevels } from "../../src/telemetry/logger.ts";
import { Registry } from "../../src/telemetry/metrics.ts";
import { service, workload } from "../support/model.ts";

const CART = "spiffe://corp.test/ns/shop/sa/cart" as SpiffeId;
const STOCK = "spiffe://corp.test/ns/depot/sa/stock" as SpiffeId;

// The connection of shared/reference/ztunnel-behaviour.md §6.
const FACTS: ConnectionFacts = {
  reporter: "source",
  source: { address: "10.9.0.14", port: 51022 },
  sourceWorkload: workload("cart-5f6d", "10.9.0.14", { namespace: "shop", clusterId: "east1", workloadName: "cart" }),
  sourceIdentity: CART,
  destination: { address: "10.9.1.7", port: 15008 },
  hboneTarget: "10.9.1.7:9090",
  destinationWorkload: workload("stock-0", "10.9.1.7", { namespace: "depot", clusterId: "east1" }),
  destinationService: service("stock", "10.96.0.1", {}, { namespace: "depot" }),
  destinationIdentity: STOCK,
};

function setup(level: "info" | "debug" | "warn" = "info") {
  const lines: string[] = [];
  const registry = new Registry();
  const log = new Logger("access", { levels: new LogLevels(level), sink: { write: (line) => lines.push(line) } });
  return { lines, registry, metrics: new TrafficMetrics(registry), log };
}

/** The line without its time and with a fixed duration. */
function normal(line: string): string {
  return line.slice(line.indexOf("\t") + 1).replace(/duration="\d+ms"/, 'duration="7ms"');
}

Deno.test("ConnectionAccount writes the reference's line, bytes as the source sees them", () => {
  const { lines, metrics, log } = setup();
  const account = new ConnectionAccount(FACTS, metrics, log);
  account.watch({ aToB: 310, bToA: 2048 });
  account.close("-");
  account.close("DENY", "only once");
  assert.deepEqual(lines.map(normal), [
    'info\taccess\tconnection complete\tsrc.addr=10.9.0.14:51022 src.workload="cart-5f6d" src.namespace="shop" ' +
    'src.identity="spiffe://corp.test/ns/shop/sa/cart" src.cluster="east1" dst.addr=10.9.1.7:15008 ' +
    'dst.hbone_addr=10.9.1.7:9090 dst.service="stock.depot.svc.cluster.local" dst.workload="stock-0" ' +
    'dst.namespace="depot" dst.identity="spiffe://corp.test/ns/depot/sa/stock" dst.cluster="east1" ' +
    'direction="outbound" bytes_sent=310 bytes_recv=2048 duration="7ms"',
  ]);
});

Deno.test("ConnectionAccount inbound turns the bytes round, and leaves out what is not known", () => {
  const { lines, metrics, log } = setup();
  const account = new ConnectionAccount(
    {
      ...FACTS,
      reporter: "destination",
      sourceWorkload: undefined,
      sourceIdentity: undefined,
      destinationIdentity: undefined,
      hboneTarget: undefined,
      destinationService: undefined,
      source: { address: "fd00::1", port: 9 },
    },
    metrics,
    log,
  );
  account.watch({ aToB: 1, bToA: 2 });
  account.close("DENY", "connection closed due to policy rejection: explicitly denied by: depot/none");
  assert.deepEqual(lines.map(normal), [
    'error\taccess\tconnection complete\tsrc.addr=[fd00::1]:9 dst.addr=10.9.1.7:15008 dst.workload="stock-0" ' +
    'dst.namespace="depot" dst.cluster="east1" direction="inbound" bytes_sent=2 bytes_recv=1 duration="7ms" ' +
    'error="connection closed due to policy rejection: explicitly denied by: depot/none"',
  ]);
});

Deno.test("ConnectionAccount counts with ztunnel's labels and flags", () => {
  const { registry, metrics, log } = setup("warn");
  const account = new ConnectionAccount(FACTS, metrics, log);
  account.watch({ aToB: 310, bToA: 2048 });
  const labels = (flag: string) =>
    'reporter="source",source_workload="cart",source_canonical_service="cart-5f6d",source_canonical_revision="latest",' +
    'source_workload_namespace="shop",source_principal="spiffe://corp.test/ns/shop/sa/cart",source_app="cart-5f6d",' +
    'source_version="latest",source_cluster="east1",destination_service="stock.depot.svc.cluster.local",' +
    'destination_service_namespace="depot",destination_service_name="stock",destination_workload="stock-0",' +
    'destination_canonical_service="stock-0",destination_canonical_revision="latest",' +
    'destination_workload_namespace="depot",destination_principal="spiffe://corp.test/ns/depot/sa/stock",' +
    'destination_app="stock-0",destination_version="latest",destination_cluster="east1",request_protocol="tcp",' +
    `response_flags="${flag}",connection_security_policy="mutual_tls",source_region="unknown",source_zone="unknown",` +
    'destination_region="unknown",destination_zone="unknown"';
  const samples = () => registry.expose().split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  assert.deepEqual(samples(), [
    `istio_tcp_connections_opened_total{${labels("-")}} 1`,
    `istio_tcp_received_bytes_total{${labels("-")}} 310`,
    `istio_tcp_sent_bytes_total{${labels("-")}} 2048`,
    'istio_tcp_sockets_open{reporter="source"} 1',
  ], "bytes are counted while the connection is open");
  account.close("TLS_FAILURE", "tls error");
  assert.deepEqual(samples().filter((line) => /closed|failed|sockets/.test(line)), [
    `istio_tcp_connections_closed_total{${labels("TLS_FAILURE")}} 1`,
    `istio_tcp_connections_failed_total{${labels("TLS_FAILURE")}} 1`,
    'istio_tcp_sockets_open{reporter="source"} 0',
  ]);
});

Deno.test("ConnectionAccount takes what baggage claims where xDS knows nothing, and unknown elsewhere", () => {
  const { registry, metrics, log } = setup();
  const account = new ConnectionAccount(
    {
      ...FACTS,
      reporter: "destination",
      sourceWorkload: undefined,
      sourceBaggage: {
        workloadName: "far",
        serviceName: "far-app",
        namespace: "there",
        clusterId: "c2",
        region: "r",
      },
      sourceIdentity: undefined,
      destinationIdentity: undefined,
      destinationWorkload: undefined,
      destinationService: undefined,
    },
    metrics,
    log,
  );
  account.close("-");
  const line = registry.expose().split("\n").find((text) => text.startsWith("istio_tcp_connections_closed_total{"))!;
  for (
    const part of [
      'source_workload="far"',
      'source_app="far-app"',
      'source_cluster="c2"',
      'source_region="r"',
      'source_principal="unknown"',
      'destination_workload="unknown"',
      'destination_service="unknown"',
      'connection_security_policy="unknown"',
    ]
  ) {
    assert.ok(line.includes(part), `${part} in ${line}`);
  }
});

Deno.test("debug level adds a line at the opening; early failures are one warning", () => {
  const { lines, metrics, log } = setup("debug");
  new ConnectionAccount(FACTS, metrics, log).close("-");
  logEarlyFailure(log, "source", FACTS.source, FACTS.destination, "no healthy upstream");
  assert.match(lines[0], /\tdebug\taccess\tconnection opened\tsrc.addr=10.9.0.14:51022 /);
  assert.doesNotMatch(lines[0], /bytes_sent/);
  assert.equal(
    normal(lines[2]),
    'warn\taccess\tconnection failed\tsrc.addr=10.9.0.14:51022 dst.addr=10.9.1.7:15008 direction="outbound" ' +
      'error="no healthy upstream"',
  );
});
