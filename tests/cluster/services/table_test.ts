import assert from "node:assert/strict";
import type { KubeObject } from "../../../src/cluster/contracts.ts";
import { renderRules } from "../../../src/cluster/services/nft.ts";
import { BUILT_IN, kubeletEntry, withBuiltIn } from "../../../src/cluster/services/proxy.ts";
import { hostPorts, type ServicePort, serviceTable } from "../../../src/cluster/services/table.ts";
import { service, slice } from "./objects.ts";

Deno.test("serviceTable() joins Services with the endpoints of their ports", () => {
  const cases: { name: string; services: KubeObject[]; slices: KubeObject[]; want: string[] }[] = [
    {
      name: "ports by name, addresses of every kind",
      services: [{
        ...service("web", {
          clusterIP: "10.96.0.5",
          externalIPs: ["9.9.9.9"],
          ports: [{ name: "http", port: 80, nodePort: 30080 }],
        }),
        status: { loadBalancer: { ingress: [{ ip: "172.18.200.1" }, { hostname: "x" }] } },
      }],
      slices: [
        slice("web", [{ addresses: ["10.244.0.2"] }, { addresses: ["10.244.1.2"] }], [{ name: "http", port: 8080 }, {
          name: "x",
          port: 1,
        }]),
      ],
      want: ["10.96.0.5,172.18.200.1,9.9.9.9 tcp/80 node 30080 -> 10.244.0.2:8080 10.244.1.2:8080"],
    },
    {
      name: "only ready endpoints",
      services: [service("web", { clusterIP: "10.96.0.5", ports: [{ port: 80 }] })],
      slices: [slice("web", [
        { addresses: ["10.244.0.2"], conditions: { ready: false, serving: false } },
        { addresses: ["10.244.0.3"], conditions: { ready: true } },
        { addresses: ["10.244.0.4"], conditions: { ready: false, serving: true, terminating: true } },
      ], [{ name: "", port: 8080 }])],
      want: ["10.96.0.5 tcp/80 -> 10.244.0.3:8080"],
    },
    {
      name: "terminating endpoints that still serve are better than none",
      services: [service("web", { clusterIP: "10.96.0.5", ports: [{ port: 80 }] })],
      slices: [slice("web", [
        { addresses: ["10.244.0.4"], conditions: { ready: false, serving: true, terminating: true } },
        { addresses: ["10.244.0.5"], conditions: { ready: false, serving: false, terminating: true } },
      ], [{ port: 8080 }])],
      want: ["10.96.0.5 tcp/80 -> 10.244.0.4:8080"],
    },
    {
      name: "the same endpoint in two slices counts once; UDP and TCP are apart",
      services: [
        service("dns", {
          clusterIP: "10.96.0.6",
          ports: [{ name: "u", port: 53, protocol: "UDP" }, { name: "t", port: 53 }],
        }),
      ],
      slices: [
        slice("dns", [{ addresses: ["10.244.0.2"] }], [{ name: "u", port: 53, protocol: "UDP" }], "dns-1"),
        slice("dns", [{ addresses: ["10.244.0.2"] }], [{ name: "u", port: 53, protocol: "UDP" }], "dns-2"),
      ],
      want: ["10.96.0.6 tcp/53 ->", "10.96.0.6 udp/53 -> 10.244.0.2:53"],
    },
    {
      name: "headless and ExternalName have no rules",
      services: [
        service("h", { clusterIP: "None", ports: [{ port: 1 }] }),
        service("e", { type: "ExternalName", externalName: "a.b" }),
      ],
      slices: [slice("h", [{ addresses: ["10.244.0.2"] }], [{ port: 1 }])],
      want: [],
    },
    {
      name: "IPv6 slices and hostile addresses are passed over",
      services: [service("web", { clusterIP: "10.96.0.5", ports: [{ port: 80 }] })],
      slices: [
        { ...slice("web", [{ addresses: ["fd00::1"] }], [{ port: 8080 }]), addressType: "IPv6" },
        slice("web", [{ addresses: ["1.2.3.4; flush ruleset"] }], [{ port: 8080 }], "web-2"),
      ],
      want: ["10.96.0.5 tcp/80 ->"],
    },
  ];
  for (const { name, services, slices, want } of cases) {
    const got = serviceTable(services, slices).map((one) =>
      `${one.addresses.join(",")} ${one.protocol}/${one.port}${one.nodePort ? ` node ${one.nodePort}` : ""} ->${
        one.backends.map(({ ip, port }) => ` ${ip}:${port}`).join("")
      }`
    );
    assert.deepEqual(got, want, name);
  }
});

Deno.test("withBuiltIn() makes DNS and the API server reachable until their Services have endpoints", () => {
  const lines = (table: any[]) =>
    table.map((one) => `${one.addresses[0]}/${one.protocol}/${one.port} ${one.backends[0]?.ip}`);
  const standard = ["10.96.0.10/tcp/53 172.18.0.1", "10.96.0.10/udp/53 172.18.0.1", "10.96.0.1/tcp/443 172.18.0.1"];
  assert.deepEqual(lines(withBuiltIn([])), standard);
  assert.deepEqual(lines(withBuiltIn([], [...BUILT_IN, kubeletEntry(1, "172.18.0.3")])), [
    ...standard,
    "172.18.0.3/tcp/10250 172.18.0.1",
  ]);
  const empty = serviceTable([{ ...service("kubernetes", { clusterIP: "10.96.0.1", ports: [{ port: 443 }] }) }], []);
  assert.deepEqual(lines(withBuiltIn(empty)), standard);
  const own = serviceTable(
    [service("kubernetes", { clusterIP: "10.96.0.1", ports: [{ port: 443 }] })],
    [slice("kubernetes", [{ addresses: ["10.244.9.9"] }], [{ port: 6443 }])],
  );
  assert.ok(lines(withBuiltIn(own)).includes("10.96.0.1/tcp/443 10.244.9.9"));
});

const HAVE_NFT = new Deno.Command("unshare", {
  args: ["-n", "nft", "list", "ruleset"],
  stdout: "null",
  stderr: "null",
});
const ignore = await HAVE_NFT.output().then(({ code }) => code !== 0, () => true);

Deno.test({
  name: "renderRules() is accepted by nft, twice in a row" +
    (ignore ? " (needs nft and permission to make a network namespace)" : ""),
  ignore,
  async fn() {
    const table = serviceTable(
      [
        service("web", {
          clusterIP: "10.96.0.5",
          ports: [{ name: "a", port: 80, nodePort: 30080 }, { name: "b", port: 443 }],
        }),
        service("sticky", {
          clusterIP: "10.96.0.6",
          sessionAffinity: "ClientIP",
          ports: [{ port: 53, protocol: "UDP" }],
        }),
        service("empty", { clusterIP: "10.96.0.7", ports: [{ port: 80 }] }),
        service("twin", { clusterIP: "10.96.0.5", ports: [{ port: 80 }] }),
      ],
      [
        slice("web", [{ addresses: ["10.244.0.2", "10.244.0.3"] }], [{ name: "a", port: 8080 }, {
          name: "b",
          port: 8443,
        }]),
        slice("sticky", [{ addresses: ["10.244.0.2"] }, { addresses: ["10.244.0.3"] }], [{
          port: 53,
          protocol: "UDP",
        }]),
      ],
    );
    const script = renderRules(withBuiltIn(table), "10.244.0.1") + renderRules([], "10.244.0.1") +
      renderRules(table, "10.244.0.1");
    const child = new Deno.Command("unshare", {
      args: ["-n", "sh", "-c", "nft -f - && nft list table ip kube-proxy"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(script));
    await writer.close();
    const { code, stdout, stderr } = await child.output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    const listed = new TextDecoder().decode(stdout);
    assert.match(listed, /numgen random mod 2 map \{ 0 : 10\.244\.0\.2 \. 8080, 1 : 10\.244\.0\.3 \. 8080 \}/);
    assert.match(listed, /jhash ip saddr mod 2/);
    assert.match(listed, /10\.96\.0\.7 \. tcp \. 80/);
  },
});

Deno.test("hostPorts() of the pods that run, and their rules on their node", () => {
  const pod = (name: string, ports: unknown[], status: unknown, spec = {}) => ({
    ...{ apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default" }, status: status as any },
    spec: { nodeName: "n1", containers: [{ name: "c", ports }], ...spec },
  });
  const running = { podIP: "10.244.0.9", phase: "Running" };
  const table = hostPorts([
    pod("dns", [{ containerPort: 53, hostPort: 5353, protocol: "UDP" }], running),
    pod("web", [{ containerPort: 80, hostPort: 8080, hostIP: "172.18.0.2" }, { containerPort: 81 }], running),
    pod("done", [{ containerPort: 80, hostPort: 8081 }], { ...running, phase: "Succeeded" }),
    pod("early", [{ containerPort: 80, hostPort: 8082 }], {}),
    pod("host", [{ containerPort: 80, hostPort: 80 }], running, { hostNetwork: true }),
  ]);
  assert.deepEqual(table.map(({ protocol, port, backend }) => [protocol, port, backend]), [
    ["tcp", 8080, { ip: "10.244.0.9", port: 80 }],
    ["udp", 5353, { ip: "10.244.0.9", port: 53 }],
  ]);
  const rules = renderRules([], "10.244.0.1", table);
  assert.match(rules, /ip daddr 172\.18\.0\.2 tcp dport 8080 dnat to 10\.244\.0\.9:80\n/);
  assert.match(rules, /fib daddr type local .* udp dport 5353 dnat to 10\.244\.0\.9:53\n/);
});

Deno.test("traffic policies keep connections on the node: inside by address, from outside by node port", () => {
  const entry: ServicePort = {
    ...{ namespace: "default", name: "web", protocol: "tcp", port: 80, nodePort: 30080, affinity: false },
    addresses: ["10.96.0.9"],
    backends: [{ ip: "10.244.0.5", port: 8080, node: "n0" }, { ip: "10.244.1.5", port: 8080, node: "n1" }],
  };
  const of = (extra: object, node?: string) => renderRules([{ ...entry, ...extra }], "10.244.0.1", [], node);
  assert.match(of({}, "n0"), /chain svc-0 {[^}]*10\.244\.0\.5[^}]*10\.244\.1\.5/);
  const inside = of({ internalLocal: true }, "n0");
  assert.match(inside, /chain svc-0 {[^}]*dnat to 10\.244\.0\.5:8080/);
  assert.match(of({ internalLocal: true }, "n2"), /set unserved {[^}]*10\.96\.0\.9 \. tcp \. 80/);
  assert.match(of({ internalLocal: true }), /chain svc-0 {[^}]*10\.244\.1\.5/, "the fabric is no node");
  const outside = of({ externalLocal: true }, "n1");
  assert.match(outside, /chain node-0 {\n {4}meta l4proto tcp dnat to 10\.244\.1\.5:8080/);
  assert.doesNotMatch(of({ externalLocal: true }, "n2"), /chain node-0/);
  assert.match(of({}, "n1"), /chain node-0 {\n {4}meta mark set/);
});
