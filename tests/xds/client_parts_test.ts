import assert from "node:assert/strict";
import { headersFromEnv, parseAddress } from "../../src/identity/control_plane.ts";
import { VERSION } from "../../src/core/version.ts";
import { grpc } from "../../src/identity/grpc.ts";
import { Reconnect, type StreamEnd, ztunnelNode } from "../../src/xds/client/mod.ts";

const { UNAVAILABLE, UNAUTHENTICATED, UNKNOWN, CANCELLED, DEADLINE_EXCEEDED, INTERNAL } = grpc.status;
const end = (status: grpc.status | undefined, details = "", answered = false): StreamEnd => ({
  status,
  details,
  answered,
});
const refused = end(UNAVAILABLE, "No connection established. Last error: connect ECONNREFUSED");

Deno.test("Reconnect waits as ztunnel does", async (t) => {
  const cases: [name: string, ends: StreamEnd[], waits: number[]][] = [
    ["connect errors double from 20 ms to 15 s", Array(13).fill(refused), [
      20,
      40,
      80,
      160,
      320,
      640,
      1280,
      2560,
      5120,
      10_240,
      15_000,
      15_000,
      15_000,
    ]],
    ["statuses that end a healthy stream", [end(UNKNOWN), end(CANCELLED), end(DEADLINE_EXCEEDED)], [10, 10, 10]],
    ["a refusal doubles", [end(UNAUTHENTICATED), end(INTERNAL)], [20, 40]],
    ["a server that goes away", [
      end(UNAVAILABLE, "transport is closing", true),
      end(UNAVAILABLE, "Connection dropped", true),
    ], [10, 10]],
    ["a clean end", [end(undefined)], [10]],
    ["a lost stream resets", [refused, refused, end(undefined), refused], [20, 40, 10, 20]],
    ["a stream that was answered resets", [refused, refused, end(UNAUTHENTICATED, "", true)], [20, 40, 20]],
  ];
  for (const [name, ends, waits] of cases) {
    await t.step(name, () => {
      const reconnect = new Reconnect();
      assert.deepEqual(ends.map((item) => reconnect.after(item)), waits);
    });
  }
});

Deno.test("ztunnelNode() writes id and metadata as ztunnel does", () => {
  const node = ztunnelNode({
    instanceIp: "10.0.0.5",
    podName: "ztunnel-x",
    podNamespace: "istio-system",
    nodeName: "node-1",
    env: {
      ISTIO_META_CLUSTER_ID: "east",
      ISTIO_METAJSON_LABELS: '{"app":"ztunnel"}',
      ISTIO_METAJSON_BAD: "{",
      PATH: "/bin",
      ISTIO_META_: "x",
    },
    proxyMetadata: { ISTIO_META_NETWORK: "net1", OTHER: "y" },
  });
  assert.equal(node.id, "ztunnel~10.0.0.5~ztunnel-x.istio-system~istio-system.svc.cluster.local");
  assert.deepEqual(node.metadata, {
    NAME: "ztunnel-x",
    NAMESPACE: "istio-system",
    INSTANCE_IPS: "10.0.0.5",
    NODE_NAME: "node-1",
    ISTIO_VERSION: VERSION,
    CLUSTER_ID: "east",
    NETWORK: "net1",
    LABELS: { app: "ztunnel" },
    BAD: "{",
  });
});

Deno.test("parseAddress() reads control-plane addresses", async (t) => {
  const cases: [string, { target: string; host: string; tls: boolean } | undefined][] = [
    ["https://istiod.istio-system.svc:15012", {
      target: "istiod.istio-system.svc:15012",
      host: "istiod.istio-system.svc",
      tls: true,
    }],
    ["istiod.istio-system.svc:15012", {
      target: "istiod.istio-system.svc:15012",
      host: "istiod.istio-system.svc",
      tls: true,
    }],
    ["http://127.0.0.1:15010/", { target: "127.0.0.1:15010", host: "127.0.0.1", tls: false }],
    ["https://[::1]:15012", { target: "[::1]:15012", host: "::1", tls: true }],
    ["https://istiod", { target: "istiod:443", host: "istiod", tls: true }],
    ["https://", undefined],
    ["https://a b:1", undefined],
    ["https://a:99999", undefined],
    ["ftp://a:1", undefined],
  ];
  for (const [address, expected] of cases) {
    await t.step(address, () => {
      if (expected) assert.deepEqual(parseAddress(address), expected);
      else assert.throws(() => parseAddress(address), { code: "invalid_address" });
    });
  }
});

Deno.test("headersFromEnv() takes what bears the prefix", () => {
  const env = { "XDS_HEADER_X-Team": "mesh", XDS_HEADER_: "no", CA_HEADER_a: "b", HOME: "/" };
  assert.deepEqual(headersFromEnv(env, "XDS_HEADER_"), { "x-team": "mesh" });
  assert.deepEqual(headersFromEnv(env, "CA_HEADER_"), { a: "b" });
});
