import assert from "node:assert/strict";
import http2 from "node:http2";
import { Downstream } from "../../../src/http/exchange/mod.ts";
import type { RequestRecord } from "../../../src/http/exchange/record.ts";
import { DEFAULT_SETTINGS, type ListenerRuntime, RuntimeCompiler } from "../../../src/http/exchange/runtime.ts";
import { fieldName, Fields } from "../../../src/http/fields.ts";
import {
  beginSpan,
  compileFormat,
  DEFAULT_TEXT_FORMAT,
  encodeSpans,
  formatText,
  parseTraceparent,
  RequestMetrics,
  RequestTelemetry,
  type Span,
  SpanExporter,
} from "../../../src/http/telemetry/mod.ts";
import type { Cluster, Host } from "../../../src/http/upstream/mod.ts";
import type { TracingSettings, Workload } from "../../../src/model/mod.ts";
import { Reactor } from "../../../src/net/mod.ts";
import { Logger } from "../../../src/telemetry/logger.ts";
import { Registry } from "../../../src/telemetry/metrics.ts";
import { destination, listener, SELF, settings } from "../exchange/support.ts";

const SLEEP = {
  namespace: "default",
  workloadName: "sleep",
  canonicalName: "sleep",
  canonicalRevision: "latest",
  clusterId: "Kubernetes",
} as Workload;

const REVIEWS = {
  namespace: "default",
  workloadName: "reviews-v1",
  canonicalName: "reviews",
  canonicalRevision: "v1",
  clusterId: "Kubernetes",
  trustDomain: "cluster.local",
  serviceAccount: "bookinfo-reviews",
} as Workload;

function runtime(): ListenerRuntime {
  const compiler = new RuntimeCompiler();
  compiler.apply([listener({
    binding: {
      kind: "service",
      service: "default/reviews.default.svc.cluster.local",
      hostname: "reviews.default.svc.cluster.local",
      addresses: [],
      port: 9080,
    },
  })]);
  return compiler.slot("http.80")!.current!;
}

function record(extra: Partial<RequestRecord> = {}): RequestRecord {
  return {
    downstream: new Downstream({
      use: "waypoint",
      peerAddress: "10.0.0.7",
      peerPort: 4321,
      localAddress: "10.96.0.1",
      localPort: 9080,
      peerIdentity: "spiffe://cluster.local/ns/default/sa/sleep" as never,
      sourceWorkload: SLEEP,
    }),
    runtime: runtime(),
    head: {
      version: "HTTP/1.1",
      method: "GET",
      scheme: "http",
      authority: "reviews:9080",
      path: "/reviews/0",
      fields: Fields.of(["user-agent", "curl/8"], ["x-forwarded-for", "1.1.1.1"], ["x-q", 'say "hi"']),
      upgrade: "",
      contentLength: 0,
      expectContinue: false,
    },
    remoteIp: undefined,
    originalPath: "",
    responseStatus: 200,
    responseFields: Fields.of(["x-resp", "r"]),
    flags: "",
    details: "via_upstream",
    bytesReceived: 3,
    bytesSent: 295,
    startTime: Date.UTC(2026, 10, 21, 1, 2, 3, 4),
    durationMs: 12.4,
    upstreamMs: 11.6,
    cluster: {
      name: "inbound-vip|9080|http|reviews.default.svc.cluster.local",
      destination: { ...destination("reviews", []), port: 9080 },
    } as Cluster,
    upstreamHost: { name: "10.0.0.9:9080", hbone: true, workload: REVIEWS, spec: {} } as Host,
    upstreamLocal: { address: "10.0.0.3", port: 5555 },
    upstreamFailure: "",
    routeName: "default",
    requestId: "the-id",
    grpc: false,
    grpcStatus: -1,
    requestMessages: 0,
    responseMessages: 0,
    attempts: 1,
    trace: null,
    ...extra,
  };
}

Deno.test("access log: Istio's default line", () => {
  assert.equal(
    formatText(compileFormat(DEFAULT_TEXT_FORMAT), record()),
    '[2026-11-21T01:02:03.004Z] "GET /reviews/0 HTTP/1.1" 200 - via_upstream - "-" 3 295 12 12 "1.1.1.1" "curl/8" "the-id" ' +
      '"reviews:9080" "10.0.0.9:9080" inbound-vip|9080|http|reviews.default.svc.cluster.local 10.0.0.3:5555 10.96.0.1:9080 ' +
      "10.0.0.7:4321 - default\n",
  );
});

Deno.test("access log: operators", () => {
  const cases: [string, Partial<RequestRecord>, string][] = [
    ["%REQ(X-Q)%", {}, 'say "hi"'],
    ["%REQ(NONE?X-Q):3%", {}, "say"],
    ["%REQ(:PATH)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", { originalPath: "/before" }, "/reviews/0 /before"],
    ["%RESP(X-RESP)% %RESP(NONE)%", {}, "r -"],
    ["100%% %PROTOCOL%", {}, "100% HTTP/1.1"],
    [
      "%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%",
      { flags: "URX,UF" },
      "URX,UF UpstreamRetryLimitExceeded,UpstreamConnectionFailure",
    ],
    ["%START_TIME(%Y/%m/%dT%H:%M:%S.%3f %s)%", {}, "2026/11/21T01:02:03.004 1795222923"],
    [
      "%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%",
      { grpcStatus: 7 },
      "PermissionDenied PERMISSION_DENIED 7",
    ],
    ["%GRPC_STATUS%", {}, "-"],
    ["%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT%", {}, "10.0.0.7 9080"],
    ["%DOWNSTREAM_PEER_URI_SAN%", {}, "spiffe://cluster.local/ns/default/sa/sleep"],
    ["%UPSTREAM_HOST% %UPSTREAM_LOCAL_ADDRESS%", { upstreamHost: null, upstreamLocal: null }, "- -"],
    ["%UPSTREAM_REQUEST_ATTEMPT_COUNT% %DURATION%", {}, "1 12"],
    ["%TRACE_ID%", { trace: { traceId: "ab", spanId: "c", parentId: "", sampled: true } }, "ab"],
    ["%DYNAMIC_METADATA(a:b)%|%FILTER_STATE(x)%", {}, "-|-"],
    ["%UPSTREAM_TRANSPORT_FAILURE_REASON%", { upstreamFailure: 'no "way"' }, "no 'way'"],
  ];
  for (const [format, extra, expected] of cases) {
    const compiled = compileFormat(format);
    assert.deepEqual(compiled.unknown, [], format);
    assert.equal(formatText(compiled, record(extra)), expected, format);
  }
  assert.deepEqual(compileFormat("%NOPE% 5%").unknown, ["%NOPE%", "%"]);
  assert.equal(formatText(compileFormat("%NOPE%"), record()), "-");
});

Deno.test("access log: JSON keeps numbers and escapes what clients say", async () => {
  const reactor = new Reactor();
  let written = "";
  const telemetry = new RequestTelemetry({
    reactor,
    registry: new Registry(),
    self: () => SELF,
    write: (bytes) => written += new TextDecoder().decode(bytes),
  });
  telemetry.configure(
    settings({
      accessLog: {
        encoding: "JSON",
        format: '{"code":"%RESPONSE_CODE%","q":"%REQ(X-Q)%","none":"%REQ(X-NO)%","in":{"a":["%PROTOCOL% x"]}}',
      },
    }),
  );
  telemetry.onRequest(record());
  telemetry.configure(settings({ accessLog: { encoding: "JSON", format: "" } }));
  telemetry.onRequest(record());
  telemetry.configure(settings());
  telemetry.onRequest(record());
  await telemetry.close();
  await reactor.stop();
  const lines = written.trimEnd().split("\n");
  assert.equal(lines.length, 2);
  assert.deepEqual(JSON.parse(lines[0]), { code: 200, q: 'say "hi"', none: null, in: { a: ["HTTP/1.1 x"] } });
  const whole = JSON.parse(lines[1]);
  assert.equal(Object.keys(whole).length, 24);
  assert.equal(whole.response_flags, "-");
  assert.equal(whole.upstream_cluster, "inbound-vip|9080|http|reviews.default.svc.cluster.local");
});

Deno.test("metrics: a waypoint's labels", () => {
  const registry = new Registry();
  const metrics = new RequestMetrics(registry, () => SELF);
  metrics.observe(record());
  metrics.observe(record());
  const text = registry.expose();
  const labels =
    'reporter="waypoint",source_workload="sleep",source_canonical_service="sleep",source_canonical_revision="latest",source_workload_namespace="default",' +
    'source_principal="spiffe://cluster.local/ns/default/sa/sleep",source_app="sleep",source_version="latest",source_cluster="Kubernetes",' +
    'destination_service="reviews.default.svc.cluster.local",destination_service_namespace="default",destination_service_name="reviews",' +
    'destination_workload="reviews-v1",destination_canonical_service="reviews",destination_canonical_revision="v1",destination_workload_namespace="default",' +
    'destination_principal="spiffe://cluster.local/ns/default/sa/bookinfo-reviews",destination_app="reviews",destination_version="v1",destination_cluster="Kubernetes",' +
    'request_protocol="http",response_code="200",grpc_response_status="",response_flags="-",connection_security_policy="mutual_tls"';
  assert.ok(text.includes(`istio_requests_total{${labels}} 2\n`), text);
  assert.ok(text.includes(`istio_request_duration_milliseconds_bucket{${labels},le="25"} 2\n`));
  assert.ok(text.includes(`istio_response_bytes_sum{${labels}} 590\n`));
  assert.ok(text.includes(`istio_request_bytes_count{${labels}} 2\n`));
});

Deno.test("metrics: what never reached a backend has unknown workloads and its service", () => {
  const registry = new Registry();
  const metrics = new RequestMetrics(registry, () => SELF);
  metrics.observe(record({ cluster: null, upstreamHost: null, responseStatus: 403, details: "rbac" }));
  metrics.observe(record({ upstreamHost: null, responseStatus: 503, flags: "UH" }));
  metrics.observe(record({ grpc: true, grpcStatus: 14, requestMessages: 2, responseMessages: 3 }));
  const text = registry.expose();
  assert.match(
    text,
    /istio_requests_total\{[^}]*destination_service="reviews.default.svc.cluster.local",destination_service_namespace="default",destination_service_name="reviews",destination_workload="unknown",[^}]*response_code="403"/,
  );
  assert.match(
    text,
    /destination_workload="unknown",[^}]*response_code="503",grpc_response_status="",response_flags="UH"/,
  );
  assert.match(text, /request_protocol="grpc",response_code="200",grpc_response_status="14"/);
  assert.match(text, /istio_request_messages_total\{[^}]*response_flags="-"\} 2/);
  assert.match(text, /istio_response_messages_total\{[^}]*response_flags="-"\} 3/);
});

// --- traces

const PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

Deno.test("trace context: what is taken and what is not", () => {
  assert.deepEqual(parseTraceparent(PARENT), {
    traceId: "0af7651916cd43dd8448eb211c80319c",
    spanId: "b7ad6b7169203331",
    sampled: true,
  });
  assert.equal(parseTraceparent(PARENT.replace(/01$/, "00"))!.sampled, false);
  assert.ok(parseTraceparent(`cc${PARENT.slice(2)}-what-the-future-brings`));
  for (
    const bad of [
      "",
      "00",
      PARENT.toUpperCase(),
      `ff${PARENT.slice(2)}`,
      `${PARENT}-x`,
      PARENT.replace(/0af\w+-/, `${"0".repeat(32)}-`),
      `${PARENT}\n${PARENT}`,
    ]
  ) assert.equal(parseTraceparent(bad), undefined, bad);
  const fields = Fields.of(["traceparent", PARENT], ["tracestate", "a=b"]);
  const child = beginSpan(fields, () => false);
  assert.equal(child.traceId, "0af7651916cd43dd8448eb211c80319c");
  assert.equal(child.parentId, "b7ad6b7169203331");
  assert.equal(child.sampled, true);
  assert.equal(fields.get(fieldName("traceparent")), `00-${child.traceId}-${child.spanId}-01`);
  assert.equal(fields.get(fieldName("tracestate")), "a=b");
  const root = beginSpan(Fields.of(["traceparent", "junk"], ["tracestate", "a=b"]), () => false);
  assert.deepEqual([root.parentId, root.sampled], ["", false]);
  assert.match(root.traceId, /^[0-9a-f]{32}$/);
});

const SPAN: Span = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  parentId: "",
  name: "reviews:9080/*",
  startMs: 1,
  endMs: 2.5,
  attributes: [["component", "proxy"]],
  failed: true,
};

/** Fields of one protobuf message: number to values. */
function decode(bytes: Uint8Array): Map<number, (Uint8Array | bigint)[]> {
  const out = new Map<number, (Uint8Array | bigint)[]>();
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  let at = 0;
  const varint = () => {
    let value = 0, factor = 1;
    for (;;) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
  };
  while (at < bytes.length) {
    const key = varint(), field = key >>> 3;
    let value: Uint8Array | bigint;
    if ((key & 7) === 2) {
      const length = varint();
      value = bytes.subarray(at, at += length);
    } else if ((key & 7) === 1) {
      value = view.getBigUint64(at, true);
      at += 8;
    } else value = BigInt(varint());
    out.set(field, [...out.get(field) ?? [], value]);
  }
  return out;
}

const text = (value: Uint8Array | bigint) => new TextDecoder().decode(value as Uint8Array);
const inner = (message: Map<number, (Uint8Array | bigint)[]>, field: number) =>
  decode(message.get(field)![0] as Uint8Array);

Deno.test("otlp: spans are laid out as the protocol says", () => {
  const resourceSpans = inner(
    decode(encodeSpans({ "service.name": "waypoint.default" }, [SPAN, { ...SPAN, parentId: "00f067aa0ba902b7" }])),
    1,
  );
  const attribute = inner(inner(resourceSpans, 1), 1);
  assert.equal(text(attribute.get(1)![0]), "service.name");
  assert.equal(text(inner(attribute, 2).get(1)![0]), "waypoint.default");
  const scope = inner(resourceSpans, 2);
  assert.equal(scope.get(2)!.length, 2);
  const [root, child] = scope.get(2)!.map((span) => decode(span as Uint8Array));
  assert.equal((root.get(1)![0] as Uint8Array).length, 16);
  assert.equal((root.get(2)![0] as Uint8Array).length, 8);
  assert.equal(root.has(4), false);
  assert.equal((child.get(4)![0] as Uint8Array)[1], 0xf0);
  assert.equal(text(root.get(5)![0]), "reviews:9080/*");
  assert.deepEqual([root.get(6)![0], root.get(7)![0], root.get(8)![0]], [2n, 1_000_000n, 2_500_000n]);
  assert.deepEqual(inner(root, 15).get(3), [2n]);
});

async function untilTrue(what: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!what()) {
    if (performance.now() > deadline) throw new Error("waited in vain");
    await new Promise((go) => setTimeout(go, 5));
  }
}

const quiet = new Logger("tracing", { sink: { write: () => {} } });
const tracing = (protocol: TracingSettings["protocol"], port: number): TracingSettings => ({
  protocol,
  address: `127.0.0.1:${port}`,
  path: "",
  samplingPercent: 100,
});

Deno.test("spans are delivered by OTLP over HTTP, in batches", async () => {
  const got: { path: string; type: string | null; body: Uint8Array }[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    got.push({
      path: new URL(request.url).pathname,
      type: request.headers.get("content-type"),
      body: await request.bytes(),
    });
    return new Response("{}");
  });
  const { port } = server.addr as Deno.NetAddr;
  const exporter = new SpanExporter({ settings: tracing("OTLP_HTTP", port), resource: {}, logger: quiet, everyMs: 5 });
  for (let i = 0; i < 600; i++) exporter.add(SPAN);
  await untilTrue(() => exporter.exported === 600);
  assert.deepEqual(got.map(({ path, type }) => [path, type])[0], ["/v1/traces", "application/x-protobuf"]);
  assert.equal(got.length, 2);
  await exporter.close();
  await server.shutdown();
});

Deno.test("spans are delivered by OTLP over gRPC", async () => {
  const bodies: Uint8Array[] = [];
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
    assert.equal(headers[":path"], "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    const parts: Uint8Array[] = [];
    stream.on("data", (part: Uint8Array) => parts.push(part));
    stream.on("end", () => {
      bodies.push(...parts);
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(new Uint8Array(5));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const exporter = new SpanExporter({
    settings: tracing("OTLP_GRPC", (server.address() as { port: number }).port),
    resource: {},
    logger: quiet,
    everyMs: 5,
  });
  exporter.add(SPAN);
  await untilTrue(() => exporter.exported + exporter.dropped === 1);
  assert.equal(exporter.exported, 1);
  assert.equal(bodies[0][0], 0);
  await exporter.close();
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

Deno.test("spans that nobody takes are dropped, and no more than so many wait", async () => {
  const listening = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listening.addr as Deno.NetAddr;
  listening.close();
  const exporter = new SpanExporter({ settings: tracing("OTLP_HTTP", port), resource: {}, logger: quiet, everyMs: 5 });
  for (let i = 0; i < 10_000; i++) exporter.add(SPAN);
  assert.ok(exporter.dropped >= 10_000 - 4096 - 512);
  await exporter.close(50);
  assert.equal(exporter.exported, 0);
  assert.ok(DEFAULT_SETTINGS.tracing === undefined);
});

Deno.test("metrics: TCP connections are counted while they are open", () => {
  const registry = new Registry();
  const metrics = new RequestMetrics(registry, () => SELF);
  const { downstream, runtime, cluster, upstreamHost: host } = record();
  const traffic = { cluster, host, bytesReceived: 5, bytesSent: 7 };
  metrics.openTcp({ downstream, runtime, traffic });
  const value = (name: string, flag = "-") =>
    new RegExp(
      `${name}\\{[^}]*request_protocol="tcp",response_flags="${flag}",connection_security_policy="mutual_tls"\\} (\\d+)`,
    )
      .exec(registry.expose())?.[1];
  assert.deepEqual(
    ["istio_tcp_connections_opened_total", "istio_tcp_received_bytes_total", "istio_tcp_sent_bytes_total"].map((name) =>
      value(name)
    ),
    ["1", "5", "7"],
  );
  traffic.bytesSent = 100;
  assert.equal(value("istio_tcp_sent_bytes_total"), "100");
  traffic.bytesReceived = 6;
  metrics.closeTcp({ downstream, runtime, traffic }, "UC");
  assert.equal(value("istio_tcp_received_bytes_total"), "6");
  assert.equal(value("istio_tcp_connections_closed_total", "UC"), "1");
  metrics.closeTcp({ downstream, runtime, traffic: { cluster, host: null, bytesReceived: 0, bytesSent: 0 } }, "UF");
  assert.match(registry.expose(), /istio_tcp_connections_opened_total\{[^}]*destination_workload="unknown"[^}]*\} 1/);
});
