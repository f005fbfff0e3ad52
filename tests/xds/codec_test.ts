import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import * as security from "../../src/gen/istio/security/authorization_pb.ts";
import * as pb from "../../src/gen/istio/workload/workload_pb.ts";
import { EMPTY_MATCH } from "../../src/model/policy.ts";
import type { AuthorizationPolicy, Service, Workload } from "../../src/model/mod.ts";
import { ipFromBytes, ipToBytes } from "../../src/xds/address_bytes.ts";
import { decodeAuthorization, encodeAuthorization } from "../../src/xds/authorization_codec.ts";
import { resourceVersion } from "../../src/xds/version.ts";
import { decodeAddress, encodeService, encodeWorkload } from "../../src/xds/workload_codec.ts";
import { service, workload } from "../support/model.ts";

const GATEWAY = {
  destination: { hostname: { namespace: "gw", hostname: "waypoint.gw.svc.cluster.local" } },
  hboneMtlsPort: 15008,
};

const FULL_WORKLOAD: Workload = workload("cart-1", "10.1.2.3", {
  addresses: ["10.1.2.3", "2001:db8::1"],
  network: "net1",
  networkGateway: { destination: { address: { network: "net2", address: "192.0.2.9" } }, hboneMtlsPort: 15008 },
  nativeTunnel: true,
  trustDomain: "corp.test",
  serviceAccount: "cart",
  waypoint: GATEWAY,
  workloadType: "DEPLOYMENT",
  status: "UNHEALTHY",
  clusterId: "east",
  authorizationPolicies: ["default/a", "default/b"],
  services: new Map([
    ["default/a.default.svc.cluster.local", [{ servicePort: 80, targetPort: 8080, appProtocol: "HTTP11" }]],
    ["default/b.default.svc.cluster.local", []],
  ]),
  applicationTunnel: { protocol: "PROXY", port: 15088 },
  locality: { region: "r", zone: "z", subzone: "s" },
  networkMode: "HOST_NETWORK",
  hostname: "cart.test",
  capacity: 7,
});

const FULL_SERVICE: Service = service("cart", "10.96.0.9", { 80: 8080, 443: 0 }, {
  addresses: [{ network: "net1", address: "10.96.0.9" }, { network: "", address: "10.97.0.0", length: 16 }],
  subjectAltNames: ["spiffe://cluster.local/ns/a/sa/b"],
  waypoint: GATEWAY,
  weightedWaypoints: [{ destination: GATEWAY, weight: 90 }, { destination: GATEWAY, weight: 0 }],
  loadBalancing: { routingPreference: ["NETWORK", "REGION", "NODE"], mode: "FAILOVER", healthPolicy: "ALLOW_ALL" },
  ipFamilies: "DUAL",
  canonical: false,
  ingressUseWaypoint: true,
  visibility: "NAMESPACE",
});

Deno.test("workloads and services survive the wire", async (t) => {
  const plain = workload("sleep-0", "10.1.0.1"), headless = service("db", "", {});
  for (
    const [name, value] of [["plain", plain], ["full", FULL_WORKLOAD], [
      "no address",
      workload("x", "", { hostname: "x.test" }),
    ]] as const
  ) {
    await t.step(`workload: ${name}`, () => {
      assert.deepEqual(strip(decodeAddress(encodeWorkload(value))), { kind: "workload", workload: strip(value) });
    });
  }
  for (const [name, value] of [["headless", headless], ["full", FULL_SERVICE]] as const) {
    await t.step(`service: ${name}`, () => {
      assert.deepEqual(strip(decodeAddress(encodeService(value))), { kind: "service", service: strip(value) });
    });
  }
});

/** Without the fields that are undefined, deeply: absent and undefined mean the same in the model. */
function strip<T>(value: T): T {
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, strip(item)])) as T;
  if (Array.isArray(value)) return value.map(strip) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).filter(([name, item]) => item !== undefined && name !== "$typeName").map((
      [name, item],
    ) => [name, strip(item)]),
  ) as T;
}

Deno.test("encoding is canonical: equal workloads have equal bytes and versions", () => {
  const services = [...FULL_WORKLOAD.services].reverse();
  const same = { ...FULL_WORKLOAD, services: new Map(services) };
  assert.deepEqual(encodeWorkload(same), encodeWorkload(FULL_WORKLOAD));
  assert.equal(resourceVersion(encodeWorkload(same)), resourceVersion(encodeWorkload(FULL_WORKLOAD)));
});

Deno.test("resourceVersion() is xxHash64 in lower-case hexadecimal", () => {
  // Published test vectors of xxHash64 with seed 0.
  assert.equal(resourceVersion(new Uint8Array()), "ef46db3751d8e999");
  assert.equal(resourceVersion(new TextEncoder().encode("abc")), "44bc2cf5ad770999");
});

Deno.test("decodeAddress() fills Istio's defaults", () => {
  const bytes = toBinary(
    pb.AddressSchema,
    create(pb.AddressSchema, { type: { case: "workload", value: { uid: "u" } } }),
  );
  const decoded = decodeAddress(bytes);
  assert.ok(decoded.kind === "workload");
  const { trustDomain, serviceAccount, clusterId, capacity, workloadType } = decoded.workload;
  assert.deepEqual([trustDomain, serviceAccount, clusterId, capacity, workloadType], [
    "cluster.local",
    "default",
    "Kubernetes",
    1,
    "DEPLOYMENT",
  ]);
});

type WorkloadInit = Parameters<typeof create<typeof pb.WorkloadSchema>>[1];
type ServiceInit = Parameters<typeof create<typeof pb.ServiceSchema>>[1];

Deno.test("decodeAddress() refuses one broken resource with its reason", async (t) => {
  const w = (fields: WorkloadInit) =>
    toBinary(
      pb.AddressSchema,
      create(pb.AddressSchema, {
        type: { case: "workload", value: create(pb.WorkloadSchema, { uid: "u", ...fields as object }) },
      }),
    );
  const s = (fields: ServiceInit) =>
    toBinary(
      pb.AddressSchema,
      create(pb.AddressSchema, {
        type: { case: "service", value: create(pb.ServiceSchema, { hostname: "h", ...fields as object }) },
      }),
    );
  const cases: [string, Uint8Array, RegExp][] = [
    ["neither set", new Uint8Array(), /neither a workload nor a service/],
    ["not protobuf", Uint8Array.of(0xff, 0xff, 0xff), /not a protobuf Address/],
    ["cut off", encodeWorkload(FULL_WORKLOAD).subarray(0, 40), /not a protobuf Address/],
    [
      "text that is not UTF-8",
      broken((writer) => writer.tag(20, WireType.LengthDelimited).bytes(Uint8Array.of(0xff, 0xfe))),
      /./,
    ],
    ["no uid", w({ uid: "" }), /without uid/],
    ["an address of 5 bytes", w({ addresses: [new Uint8Array(5)] }), /address of 5 bytes/],
    ["legacy mTLS", w({ tunnelProtocol: pb.TunnelProtocol.LEGACY_ISTIO_MTLS }), /LEGACY_ISTIO_MTLS/],
    ["an unknown tunnel protocol", w({ tunnelProtocol: 9 as pb.TunnelProtocol }), /unknown tunnel protocol 9/],
    ["an unknown status", w({ status: 5 as pb.WorkloadStatus }), /unknown workload status 5/],
    [
      "a waypoint without destination",
      w({ waypoint: create(pb.GatewayAddressSchema, { hboneMtlsPort: 15008 }) }),
      /without destination/,
    ],
    [
      "a gateway with a bad address",
      w({
        networkGateway: create(pb.GatewayAddressSchema, {
          destination: { case: "address", value: create(pb.NetworkAddressSchema) },
        }),
      }),
      /address of 0 bytes/,
    ],
    ["a service key without namespace", w({ services: { "x": create(pb.PortListSchema) } }), /not namespace\/hostname/],
    [
      "a port above 65535",
      w({ services: { "a/b": create(pb.PortListSchema, { ports: [{ servicePort: 70000 }] }) } }),
      /port 70000/,
    ],
    ["no host name", s({ hostname: "" }), /without hostname/],
    [
      "scope 0 in a list",
      s({ loadBalancing: create(pb.LoadBalancingSchema, { routingPreference: [0] }) }),
      /unknown routing preference 0/,
    ],
    [
      "a VIP prefix that is too long",
      s({ addresses: [create(pb.NetworkAddressSchema, { address: new Uint8Array(4), length: 33 })] }),
      /prefix length 33/,
    ],
    [
      "a weighted waypoint without destination",
      s({ weightedWaypoints: [create(pb.WeightedWaypointSchema, { weight: 5 })] }),
      /without destination/,
    ],
  ];
  for (const [name, bytes, reason] of cases) {
    await t.step(
      name,
      () =>
        assert.throws(
          () => decodeAddress(bytes),
          (error: Error & { code: string }) => error.code === "invalid_resource" && reason.test(error.message),
        ),
    );
  }
  await t.step("an unknown visibility is PUBLIC, an unknown app protocol UNKNOWN", () => {
    const decoded = decodeAddress(
      s({
        visibility: 9 as pb.Service_Visibility,
        ports: [create(pb.PortSchema, { appProtocol: 99 as pb.AppProtocol })],
      }),
    );
    assert.ok(decoded.kind === "service");
    assert.deepEqual([decoded.service.visibility, decoded.service.ports[0].appProtocol], ["PUBLIC", "UNKNOWN"]);
  });
  await t.step("unknown fields are passed over", () => {
    const bytes = broken((writer) =>
      writer.tag(20, WireType.LengthDelimited).string("u").tag(999, WireType.Varint).uint32(1)
    );
    assert.equal(decodeAddress(bytes).kind, "workload");
  });
});

/** An Address whose workload has these raw fields. */
function broken(write: (writer: BinaryWriter) => void): Uint8Array {
  const inner = new BinaryWriter();
  write(inner);
  return new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(inner.finish()).finish();
}

Deno.test("decoders survive random and damaged bytes", () => {
  const samples = [encodeWorkload(FULL_WORKLOAD), encodeService(FULL_SERVICE)];
  const survive = (bytes: Uint8Array) => {
    for (const decode of [decodeAddress, decodeAuthorization]) {
      try {
        decode(bytes);
      } catch (error) {
        assert.equal((error as { code: string }).code, "invalid_resource");
      }
    }
  };
  for (const sample of samples) {
    for (let at = 0; at < sample.length; at++) {
      survive(sample.subarray(0, at));
      const damaged = sample.slice();
      damaged[at] = at * 37 & 0xff;
      survive(damaged);
    }
  }
  for (let i = 0; i < 500; i++) survive(crypto.getRandomValues(new Uint8Array(i % 64)));
});

const POLICY: AuthorizationPolicy = {
  namespace: "shop",
  name: "p",
  scope: "WORKLOAD_SELECTOR",
  action: "DENY",
  dryRun: true,
  rules: [
    [[{
      ...EMPTY_MATCH,
      principals: [{ kind: "exact", value: "cluster.local/ns/a/sa/b" }, { kind: "presence" }],
      notNamespaces: [{ kind: "prefix", value: "x" }, { kind: "suffix", value: "y" }],
      sourceIps: [{ address: "10.0.0.0", length: 8 }, { address: "2001:db8::", length: 32 }],
      destinationPorts: [80, 443],
      notServiceAccounts: [{ namespace: "a", serviceAccount: "b" }],
    }, EMPTY_MATCH]],
    [],
    [[]],
  ],
};

Deno.test("policies survive the wire, empty rules and clauses included", () => {
  assert.deepEqual(decodeAuthorization(encodeAuthorization(POLICY)), POLICY);
});

Deno.test("decodeAuthorization() refuses a policy that it cannot enforce exactly", async (t) => {
  const p = (fields: object, match?: object) =>
    toBinary(
      security.AuthorizationSchema,
      create(security.AuthorizationSchema, {
        name: "p",
        namespace: "n",
        ...fields,
        ...(match ? { rules: [{ clauses: [{ matches: [match] }] }] } : {}),
      }),
    );
  const cases: [string, Uint8Array, RegExp][] = [
    ["no name", p({ name: "" }), /without name/],
    ["an unknown scope", p({ scope: 7 }), /unknown scope 7/],
    ["an unknown action", p({ action: 2 }), /unknown action 2/],
    ["a string match without a kind", p({}, { principals: [{}] }), /without a kind/],
    ["a range of 3 bytes", p({}, { sourceIps: [{ address: new Uint8Array(3), length: 8 }] }), /address of 3 bytes/],
    [
      "a prefix that is too long",
      p({}, { notSourceIps: [{ address: new Uint8Array(4), length: 40 }] }),
      /prefix length 40/,
    ],
    ["a port above 65535", p({}, { destinationPorts: [65536] }), /port 65536/],
  ];
  for (const [name, bytes, reason] of cases) {
    await t.step(name, () => assert.throws(() => decodeAuthorization(bytes), reason));
  }
});

Deno.test("addresses keep their canonical text", () => {
  for (const text of ["10.0.0.1", "255.255.255.255", "::1", "2001:db8::1", "fe80::1:0:0:2"]) {
    assert.equal(ipFromBytes(ipToBytes(text)), text);
  }
  const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1);
  assert.equal(ipFromBytes(mapped), "10.0.0.1");
  assert.throws(() => ipToBytes("10.0.0"), { code: "invalid_resource" });
});
