// The node proxy with real sockets in real namespaces: what issue 3 asks of L4.

import assert from "node:assert/strict";
import type { AuthorizationPolicy } from "../../../src/model/mod.ts";
import { EMPTY_MATCH } from "../../../src/model/mod.ts";
import { testCa } from "../../identity/support.ts";
import { eventually } from "../../support/eventually.ts";
import { MeshLab } from "../../support/mesh_lab.ts";
import { memberOf, service } from "../../support/model.ts";
import { CAN_NETNS } from "../../support/netns.ts";

function scenario(name: string, fn: (lab: MeshLab) => Promise<void>): void {
  const why = CAN_NETNS ? "" : " (ignored: network namespaces cannot be made here)";
  Deno.test({ name: `scenario: ${name}${why}`, ignore: !CAN_NETNS, fn: () => MeshLab.run(fn) });
}

const WEB = "default/web.default.svc.cluster.local";

function deny(name: string, extra: Partial<AuthorizationPolicy> = {}): AuthorizationPolicy {
  return { namespace: "default", name, scope: "NAMESPACE", action: "DENY", rules: [[]], dryRun: false, ...extra };
}

/** The line with what differs from run to run taken out. */
function normal(line: string): string {
  return line.replace(/:\d{5}\b/g, (port) => port === ":15008" ? port : ":PORT").replace(
    /duration="\d+ms"/,
    'duration="1ms"',
  );
}

scenario("two pods on two nodes speak mutual TLS, and the server sees the client's address", async (lab) => {
  const one = lab.node("node-1"), two = lab.node("node-2");
  const client = await lab.pod("client", one);
  const web = await lab.pod("web", two, { services: memberOf({ [WEB]: { 80: 8080 } }) });
  lab.services(service("web", "10.96.0.1", { 80: 8080 }));
  const server = lab.serve(web, 8080);

  const connection = await lab.greet(client, "10.96.0.1", 80);
  assert.equal(connection.received, "web");
  await connection.echo("ping");
  assert.equal(server.clients[0].from, client.ip);
  connection.end();
  await connection.until((c) => c.state === "end");

  await eventually(() => assert.equal(one.access.length + two.access.length, 2));
  const identity = (name: string) => `"spiffe://cluster.local/ns/default/sa/${name}"`;
  const middle = `src.workload="client" src.namespace="default" src.identity=${identity("client")} ` +
    `src.cluster="Kubernetes" dst.addr=${web.ip}:15008 dst.hbone_addr=${web.ip}:8080 ` +
    `dst.service="web.default.svc.cluster.local" dst.workload="web" dst.namespace="default" ` +
    `dst.identity=${identity("web")} dst.cluster="Kubernetes"`;
  assert.deepEqual(one.access.map(normal), [
    `info\taccess\tconnection complete\tsrc.addr=${client.ip}:PORT ${middle} direction="outbound" ` +
    'bytes_sent=4 bytes_recv=7 duration="1ms"',
  ]);
  assert.deepEqual(two.access.map(normal), [
    `info\taccess\tconnection complete\tsrc.addr=${client.ip}:PORT ${middle} direction="inbound" ` +
    'bytes_sent=7 bytes_recv=4 duration="1ms"',
  ]);
  for (const [node, reporter] of [[one, "source"], [two, "destination"]] as const) {
    const lines = node.registry.expose().split("\n");
    const value = (name: string) =>
      lines.find((line) => line.startsWith(name) && line.includes(`reporter="${reporter}"`));
    assert.match(value("istio_tcp_connections_opened_total")!, /connection_security_policy="mutual_tls".* 1$/);
    assert.match(value("istio_tcp_received_bytes_total")!, / 4$/, "client to server, whoever reports");
    assert.match(value("istio_tcp_sent_bytes_total")!, / 7$/);
  }
});

scenario("by pod address, by IPv6, on one node, many at once", async (lab) => {
  const node = lab.node("node-1");
  const client = await lab.pod("client", node), web = await lab.pod("web", node);
  const server = lab.serve(web, 8080);
  for (const address of [web.ip, web.ip6]) {
    const connections = await Promise.all(Array.from({ length: 20 }, () => lab.greet(client, address, 8080)));
    for (const connection of connections) {
      assert.equal(connection.received, "web");
      await connection.echo("x".repeat(5000));
      connection.close();
    }
  }
  assert.deepEqual(new Set(server.clients.map((one) => one.from)), new Set([client.ip, client.ip6]));
});

scenario("traffic out of the mesh and to unknown places is plain, and from outside it passes through", async (lab) => {
  const node = lab.node("node-1");
  const pod = await lab.pod("pod", node), outside = await lab.pod("outside", node, { captured: false });
  const stranger = await lab.net.pod("stranger");
  const servers = [lab.serve(pod, 80), lab.serve(outside, 80), lab.serve(stranger, 80)];
  for (
    const [from, to, name] of [[pod, outside, "outside"], [pod, stranger, "stranger"], [stranger, pod, "pod"]] as const
  ) {
    const connection = await lab.greet(from, to.ip, 80);
    assert.equal(connection.received, name);
    await connection.echo("ping");
    connection.close();
  }
  assert.deepEqual(servers.map((server) => server.clients.map((one) => one.from)), [[stranger.ip], [pod.ip], [pod.ip]]);
  await eventually(() => assert.equal(node.access.length, 3));
  assert.ok(node.access.every((line) => !line.includes("identity") && !line.includes("hbone_addr")));
  assert.match(node.access.find((line) => line.includes('direction="inbound"'))!, new RegExp(`dst.addr=${pod.ip}:80 `));
});

scenario("STRICT: plain text from outside is reset, mutual TLS passes", async (lab) => {
  const node = lab.node("node-1");
  const client = await lab.pod("client", node), web = await lab.pod("web", node);
  const stranger = await lab.net.pod("stranger");
  lab.serve(web, 80);
  const unauthenticated = { ...EMPTY_MATCH, notPrincipals: [{ kind: "presence" as const }] };
  lab.policy(deny("istio_converted_static_strict", {
    namespace: "istio-system",
    scope: "GLOBAL",
    rules: [[[unauthenticated]]],
  }));
  const refused = await lab.greet(stranger, web.ip, 80);
  assert.equal(refused.state, "reset");
  assert.equal(refused.received, "");
  assert.equal((await lab.greet(client, web.ip, 80)).received, "web");
  assert.match(
    node.access[0],
    /^error\taccess\tconnection complete\t.*direction="inbound" bytes_sent=0 bytes_recv=0 .*error="connection closed due to policy rejection: explicitly denied by: istio-system\/istio_converted_static_strict"$/,
  );
  assert.match(node.registry.expose(), /istio_tcp_connections_closed_total\{[^}]*response_flags="DENY"[^}]*\} 1/);
});

scenario(
  "policy by principal: the allowed passes, others are reset and curl exits 56; removal restores",
  async (lab) => {
    const one = lab.node("node-1"), two = lab.node("node-2");
    const sleep = await lab.pod("sleep", one),
      notsleep = await lab.pod("notsleep", one),
      web = await lab.pod("web", two);
    lab.serve(web, 80, "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok");
    const allow: AuthorizationPolicy = deny("viewer", {
      action: "ALLOW",
      rules: [[[{ ...EMPTY_MATCH, principals: [{ kind: "exact", value: "cluster.local/ns/default/sa/sleep" }] }]]],
    });
    lab.policy(allow);
    const curl = async (from: typeof sleep) =>
      (await from.try("curl", "-s", "--max-time", "10", `http://${web.ip}/`)).code;
    assert.equal(await curl(sleep), 0);
    assert.equal(await curl(notsleep), 56);
    await eventually(() =>
      assert.ok(two.access.some((line) => line.includes("allow policies exist, but none allowed")))
    );
    assert.ok(one.access.some((line) => line.includes('error="http status: 401 Unauthorized"')));
    lab.removePolicy(allow);
    assert.equal(await curl(notsleep), 0);
    await eventually(() => assert.equal(two.connections.size, 0));
  },
);

scenario("a change of policy closes what it no longer allows, at once, and leaves the rest", async (lab) => {
  const one = lab.node("node-1"), two = lab.node("node-2");
  const client = await lab.pod("client", one), web = await lab.pod("web", two);
  const stranger = await lab.net.pod("stranger");
  lab.serve(web, 80);
  lab.serve(web, 81);
  const doomed = [await lab.greet(client, web.ip, 80), await lab.greet(stranger, web.ip, 80)];
  const kept = await lab.greet(client, web.ip, 81);
  const policy = deny("no-80", { rules: [[[{ ...EMPTY_MATCH, destinationPorts: [80] }]]] });
  lab.policy(policy);
  for (const connection of doomed) await connection.until((c) => c.state !== "open");
  await kept.echo("still here");
  const late = two.access.filter((line) => line.includes("due to policy change: explicitly denied by: default/no-80"));
  assert.equal(late.length, 2, two.access.join("\n"));
  lab.removePolicy(policy);
  assert.equal((await lab.greet(client, web.ip, 80)).received, "web");
});

scenario("a peer of another trust domain, or of another root, gets nowhere", async (lab) => {
  const one = lab.node("node-1");
  const two = lab.node("node-2", await testCa({}, "cluster.local"));
  const client = await lab.pod("client", one), web = await lab.pod("web", two);
  lab.serve(web, 80);
  const otherRoot = await lab.greet(client, web.ip, 80);
  assert.equal(otherRoot.state, "reset");
  await eventually(() => assert.match(one.access.at(-1)!, /error="tls error: /));
  assert.match(one.registry.expose(), /istio_tcp_connections_failed_total\{[^}]*response_flags="TLS_FAILURE"/);

  // Same root, other trust domain: the server refuses by name what the chain would let in.
  const foreign = await lab.pod("foreign", one, { trustDomain: "other.test" });
  const same = await lab.pod("same", one);
  lab.serve(same, 80);
  const otherDomain = await lab.greet(foreign, same.ip, 80);
  assert.equal(otherDomain.state, "reset");
  await eventually(() => assert.match(one.access.join("\n"), /is not of the trust domain/));
});

scenario("failures reset the application's connection and say why", async (lab) => {
  const one = lab.node("node-1");
  const client = await lab.pod("client", one), web = await lab.pod("web", one);
  lab.services(service("empty", "10.96.0.2", { 80: 80 }));
  const rows: [string, string, number, RegExp][] = [
    ["no endpoint", "10.96.0.2", 80, /warn\taccess\tconnection failed\t.*error="no healthy upstream/],
    ["nobody listens in the pod", web.ip, 9, /error="http status: 503 Service Unavailable"/],
    ["ztunnel's own port in another pod", web.ip, 15006, /error="http status: 503 Service Unavailable"/],
  ];
  for (const [name, address, port, error] of rows) {
    const connection = await lab.greet(client, address, port);
    assert.equal(connection.state, "reset", name);
    await eventually(() => assert.match(one.access.join("\n"), error, name));
  }
  const loop = await lab.greet(client, "127.0.0.1", 15001);
  assert.equal(loop.state, "reset");
  assert.match(one.access.join("\n"), /recursive call/);
});

scenario("half-close and a megabyte each way", async (lab) => {
  const one = lab.node("node-1"), two = lab.node("node-2");
  const client = await lab.pod("client", one), web = await lab.pod("web", two);
  lab.serve(web, 80, "");
  const connection = await lab.dial(client, web.ip, 80);
  const megabyte = "0123456789abcdef".repeat(65536);
  connection.send(megabyte);
  connection.end();
  await connection.until((c) => c.state === "end", 20_000);
  assert.equal(connection.received.length, megabyte.length);
  assert.ok(connection.received === megabyte);
});

scenario(
  "a pod that leaves: open connections live on, new ones are plain, and nothing is left in the end",
  async (lab) => {
    const one = lab.node("node-1"), two = lab.node("node-2");
    const client = await lab.pod("client", one), web = await lab.pod("web", two);
    const stranger = await lab.net.pod("stranger");
    const server = lab.serve(web, 80);
    const meshed = await lab.greet(client, web.ip, 80), passed = await lab.greet(stranger, web.ip, 80);
    await lab.release(web);
    await meshed.echo("one");
    await passed.echo("two");
    const before = server.clients.length;
    const plain = await lab.greet(client, web.ip, 80);
    assert.equal(plain.received, "web");
    assert.equal(server.clients.length, before + 1);
    plain.close();
    await eventually(() => assert.ok(!one.access.at(-1)!.includes("hbone_addr"), "the new connection is plain"));
    const open = two.access.length;
    meshed.close();
    passed.close();
    await eventually(() => assert.equal(two.access.length, open + 2));
    assert.deepEqual(two.proxy.states(), {});
  },
);

scenario("another ztunnel takes the pod over: the old one's connections end in peace", async (lab) => {
  const old = lab.node("node-old"), young = lab.node("node-young");
  const client = await lab.pod("client", old), web = await lab.pod("web", old);
  lab.serve(web, 80);
  const first = await lab.greet(client, web.ip, 80);
  await lab.hand(client, young);
  await lab.hand(web, young);
  const left = old.proxy.leave();
  await first.echo("still");
  for (let i = 0; i < 5; i++) assert.equal((await lab.greet(client, web.ip, 80)).received, "web");
  first.close();
  await left;
  await eventually(() => assert.ok(young.access.length === 0 && old.access.length >= 2));
});

scenario("hostile clients on 15008 are answered or closed, and the proxy goes on", async (lab) => {
  const one = lab.node("node-1");
  const client = await lab.pod("client", one), web = await lab.pod("web", one);
  const stranger = await lab.net.pod("stranger");
  lab.serve(web, 80);
  for (
    const bytes of [
      "GET / HTTP/1.1\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "\x16\x03\x01\xff\xff" + "a".repeat(70_000),
    ]
  ) {
    const connection = await lab.dial(stranger, web.ip, 15008);
    connection.send(bytes);
    await connection.until((c) => c.state !== "open");
  }
  assert.equal((await lab.greet(client, web.ip, 80)).received, "web");
});
