import assert from "node:assert/strict";
import { UsageError } from "../../../src/core/usage.ts";
import { parseArguments, readWaypointConfig } from "../../../src/roles/waypoint/config.ts";
import { podLabels, proxyNode, proxySelf } from "../../../src/roles/waypoint/identity.ts";
import { OwnPorts } from "../../../src/roles/waypoint/own_ports.ts";
import { clientCertificate, subjectText } from "../../../src/roles/waypoint/client_certificate.ts";
import { certificatesOf } from "../../../src/identity/pem.ts";
import { idOf, issueWorkload, testCa } from "../../identity/support.ts";

const ARGUMENTS: [string[], Partial<ReturnType<typeof parseArguments>>][] = [
  [[], { mode: "waypoint" }],
  [["waypoint"], { mode: "waypoint" }],
  [["proxy", "router"], { mode: "router" }],
  [
    [
      "proxy",
      "router",
      "--domain",
      "x.svc.cluster.local",
      "--proxyLogLevel=warning",
      "--proxyComponentLogLevel",
      "misc:error",
      "--log_output_level=default:debug,xds:info",
      "--log_as_json",
    ],
    { mode: "router", domain: "x.svc.cluster.local", logLevel: "debug,xds:info", logAsJson: true },
  ],
];

for (const [args, want] of ARGUMENTS) {
  Deno.test(`parseArguments(${args.join(" ")})`, () => {
    const found = parseArguments(args);
    for (const [key, value] of Object.entries(want)) assert.equal(found[key as keyof typeof found], value, key);
  });
}

Deno.test("parseArguments() explains what was typed wrongly", () => {
  assert.throws(() => parseArguments(["sidecar"]), (error: unknown) => error instanceof UsageError);
  assert.throws(() => parseArguments(["waypoint", "--frobnicate"]), /unknown argument "--frobnicate"/);
  assert.throws(() => parseArguments(["waypoint", "--domain"]), /--domain needs a value/);
});

Deno.test("readWaypointConfig() takes Istio's names, ProxyConfig among them", () => {
  const read = (env: Record<string, string>, args: string[] = []) => readWaypointConfig((name) => env[name], args);
  const config = read({
    PROXY_CONFIG: JSON.stringify({
      discoveryAddress: "istiod-canary.istio-system.svc:15012",
      terminationDrainDuration: "12s",
      proxyMetadata: { ISTIO_META_X: "y" },
    }),
    POD_NAMESPACE: "shop",
  });
  assert.equal(config.xdsAddress, "istiod-canary.istio-system.svc:15012");
  assert.equal(config.caAddress, config.xdsAddress);
  assert.deepEqual([config.drainMs, config.graceMs], [12_000, 16_000]);
  assert.equal(config.domain, "shop.svc.cluster.local");
  assert.deepEqual([read({}).drainMs, read({}).graceMs], [5_000, 23_000]);
  assert.equal(read({ TERMINATION_DRAIN_DURATION_SECONDS: "7" }).drainMs, 7_000);
  assert.equal(read({ CA_ADDR: "ca:1", XDS_ADDRESS: "xds:2" }).caAddress, "ca:1");
  assert.throws(() => read({ PROXY_CONFIG: "{" }), /cannot read PROXY_CONFIG/);
  assert.throws(() => read({ LOG_FORMAT: "xml" }), /LOG_FORMAT="xml"/);
});

Deno.test("the node says who the proxy is; labels are the pod's", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      `${dir}/labels`,
      'app="istio-ingressgateway"\nistio="ingressgateway"\nservice.istio.io/canonical-name="in\\"gress"\n',
    );
    const labels = await podLabels(dir);
    assert.deepEqual(labels, {
      app: "istio-ingressgateway",
      istio: "ingressgateway",
      "service.istio.io/canonical-name": 'in"gress',
    });
    const env = {
      POD_NAME: "gw-1",
      POD_NAMESPACE: "istio-system",
      INSTANCE_IP: "10.0.0.1",
      ISTIO_META_NODE_NAME: "n1",
    };
    const config = readWaypointConfig((name) => (env as Record<string, string>)[name], ["router"]);
    const node = proxyNode(config, env, labels);
    assert.equal(node.id, "router~10.0.0.1~gw-1.istio-system~istio-system.svc.cluster.local");
    assert.equal(node.metadata.NODE_NAME, "n1");
    assert.deepEqual(node.metadata.LABELS, labels);
    assert.equal(proxySelf(config, labels).canonicalName, 'in"gress');
    assert.deepEqual(await podLabels("/nowhere"), {});
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("a client's certificate is told by its hash and names; what cannot be read is nobody's", async () => {
  const id = idOf("default", "sleep");
  const { chainPem } = await issueWorkload(await testCa(), id);
  const [der] = certificatesOf(chainPem);
  const found = clientCertificate(der)!;
  assert.match(found.sha256, /^[0-9a-f]{64}$/);
  assert.deepEqual(found.uris, [id]);
  assert.equal(clientCertificate(new Uint8Array()), undefined);
  assert.equal(clientCertificate(der.subarray(0, der.length - 7)), undefined);
  assert.equal(clientCertificate(crypto.getRandomValues(new Uint8Array(300))), undefined);
});

Deno.test("OwnPorts are those of loopback and of the pod, however they are written", () => {
  const own = new OwnPorts("10.0.0.5");
  own.add(15000, 0);
  for (
    const address of [
      "127.0.0.1",
      "127.8.9.1",
      "0.0.0.0",
      "::1",
      "::",
      "::ffff:127.0.0.1",
      "10.0.0.5",
      "::ffff:10.0.0.5",
    ]
  ) {
    assert.ok(own.has(address, 15000), address);
    assert.ok(!own.has(address, 8080), address);
  }
  for (const address of ["10.0.0.6", "fd00::1", "example.com", ""]) assert.ok(!own.has(address, 15000), address);
  assert.ok(!own.has("127.0.0.1", 0));
});

Deno.test("subjectText() writes names as RFC 2253 does", () => {
  const bytes = (...parts: (number | string)[]) =>
    parts.flatMap((part) => typeof part === "number" ? [part] : [...new TextEncoder().encode(part)]);
  const attribute = (oid: number[], value: string) => {
    const inner = [0x06, oid.length, ...oid, 0x0c, value.length, ...bytes(value)];
    const pair = [0x30, inner.length, ...inner];
    return [0x31, pair.length, ...pair];
  };
  const names = [...attribute([0x55, 4, 10], "Acme, Inc"), ...attribute([0x55, 4, 3], "a\nb")];
  assert.equal(subjectText(Uint8Array.from([0x30, names.length, ...names])), "CN=ab,O=Acme\\, Inc");
  assert.equal(subjectText(Uint8Array.from([0x30, 0])), "");
});
