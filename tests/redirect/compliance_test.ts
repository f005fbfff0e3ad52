// Both firewalls must do the same to real packets in a real namespace.

import assert from "node:assert/strict";
import { Reactor } from "../../src/net/reactor.ts";
import {
  applyRedirect,
  DEFAULT_REDIRECT,
  drainRedirect,
  type Firewall,
  hasRedirect,
  HostProbes,
  MARK,
  type RedirectOptions,
  removeRedirect,
} from "../../src/redirect/mod.ts";
import { CAN_NETNS, type LabPod, NetLab } from "../support/netns.ts";
import { dial, EchoServer } from "../support/tcp.ts";

async function installed(command: string): Promise<boolean> {
  const output = await new Deno.Command("sh", { args: ["-c", `command -v ${command}`], stdout: "null" }).output();
  return output.success;
}

interface Scene {
  reactor: Reactor;
  outside: LabPod;
  pod: LabPod;
}

/** A captured pod with an application on 80 and something that poses as ztunnel, and a host outside with a server on 80. */
async function scene(test: (scene: Scene) => Promise<void>): Promise<void> {
  const reactor = new Reactor();
  reactor.start();
  const lab = await NetLab.create();
  const servers: EchoServer[] = [];
  try {
    const outside = await lab.pod("outside"), pod = await lab.pod("pod");
    servers.push(new EchoServer(reactor, pod.netns, 80, "app"), new EchoServer(reactor, outside.netns, 80, "outside"));
    for (const port of [15001, 15006, 15008, 15053]) {
      servers.push(new EchoServer(reactor, pod.netns, port, `zt${port}`, { mark: MARK }));
    }
    servers.push(new EchoServer(reactor, outside.netns, 53, "dns"));
    await test({ reactor, outside, pod });
  } finally {
    for (const server of servers) server.close();
    await reactor.stop();
    lab.close();
  }
}

/** Which server answers: its greeting. */
async function answer(
  reactor: Reactor,
  from: LabPod,
  address: string,
  port: number,
  extra: Parameters<typeof dial>[4] = {},
): Promise<string> {
  const connection = await dial(reactor, from.netns, address, port, extra);
  await connection.until((c) => c.received !== "" || c.state !== "open");
  connection.close();
  return connection.received;
}

/** One row of every captured pod's table: what a connection ends up at before and after. */
async function table({ reactor, pod, outside }: Scene): Promise<Record<string, string>> {
  const marked = { mark: MARK };
  return {
    "out, IPv4": await answer(reactor, pod, outside.ip, 80),
    "out, IPv6": await answer(reactor, pod, outside.ip6, 80),
    "out, marked": await answer(reactor, pod, outside.ip, 80, marked),
    "out, DNS over TCP": await answer(reactor, pod, outside.ip, 53),
    "in, IPv4": await answer(reactor, outside, pod.ip, 80),
    "in, IPv6": await answer(reactor, outside, pod.ip6, 80),
    "in, 15008": await answer(reactor, outside, pod.ip, 15008),
    "own address": await answer(reactor, pod, pod.ip, 80),
    "own address, marked": await answer(reactor, pod, pod.ip, 80, marked),
    "loopback": await answer(reactor, pod, "127.0.0.1", 80),
    "loopback, IPv6": await answer(reactor, pod, "::1", 80),
  };
}

const PLAIN = {
  "out, IPv4": "outside",
  "out, IPv6": "outside",
  "out, marked": "outside",
  "out, DNS over TCP": "dns",
  "in, IPv4": "app",
  "in, IPv6": "app",
  "in, 15008": "zt15008",
  "own address": "app",
  "own address, marked": "app",
  "loopback": "app",
  "loopback, IPv6": "app",
};

const CAPTURED = {
  ...PLAIN,
  "out, IPv4": "zt15001",
  "out, IPv6": "zt15001",
  "out, DNS over TCP": "zt15053",
  "in, IPv4": "zt15006",
  "in, IPv6": "zt15006",
};

const VARIANTS: [string, Partial<RedirectOptions>, Record<string, string>][] = [
  ["default", {}, CAPTURED],
  ["without DNS", { dnsCapture: false }, { ...CAPTURED, "out, DNS over TCP": "zt15001" }],
  ["ingress mode", { ingressMode: true }, { ...CAPTURED, "in, IPv4": "app", "in, IPv6": "app" }],
  ["IPv4 only", { ipv6: false }, { ...CAPTURED, "out, IPv6": "outside", "in, IPv6": "app" }],
];

function compliance(firewall: Firewall, why: string | undefined): void {
  const test = (name: string, fn: (scene: Scene) => Promise<void>) =>
    Deno.test({
      name: `${firewall}: ${name}${why ? ` (ignored: ${why})` : ""}`,
      ignore: why !== undefined,
      fn: () => scene(fn),
    });

  test("redirects what it must, leaves alone what it must, and removal restores", async (s) => {
    for (const [name, extra, want] of VARIANTS) {
      await applyRedirect(s.pod.path, firewall, { ...DEFAULT_REDIRECT, ...extra });
      assert.deepEqual(await table(s), want, name);
    }
    assert.equal(await hasRedirect(s.pod.path, firewall), true);
    await removeRedirect(s.pod.path, firewall);
    assert.equal(await hasRedirect(s.pod.path, firewall), false);
    assert.deepEqual(await table(s), PLAIN);
    assert.doesNotMatch(await s.pod.run("ip", "rule"), /0x111/);
    await removeRedirect(s.pod.path, firewall);
  });

  test("a probe's source address passes, and applying twice changes nothing", async (s) => {
    await applyRedirect(s.pod.path, firewall, DEFAULT_REDIRECT);
    await applyRedirect(s.pod.path, firewall, DEFAULT_REDIRECT);
    const rules = (await s.pod.run("ip", "rule")).split("\n").filter((line) => line.includes("0x111"));
    assert.equal(rules.length, 1);
    await s.outside.run("ip", "addr", "add", "169.254.7.127/32", "dev", "eth0");
    await s.pod.run("ip", "route", "add", "169.254.7.127/32", "dev", "eth0");
    assert.equal(await answer(s.reactor, s.outside, s.pod.ip, 80, { bindAddress: "169.254.7.127" }), "app");
    assert.equal(await answer(s.reactor, s.outside, s.pod.ip, 80), "zt15006");
  });

  test("a connection that is older than the rules goes on", async (s) => {
    const inbound = await dial(s.reactor, s.outside.netns, s.pod.ip, 80);
    const outbound = await dial(s.reactor, s.pod.netns, s.outside.ip, 80);
    await inbound.until((c) => c.received === "app");
    await outbound.until((c) => c.received === "outside");
    await applyRedirect(s.pod.path, firewall, DEFAULT_REDIRECT);
    for (const connection of [inbound, outbound]) {
      await connection.echo("ping");
      connection.close();
    }
  });

  test("a redirected connection outlives the end of redirection", async (s) => {
    await applyRedirect(s.pod.path, firewall, DEFAULT_REDIRECT);
    const inbound = await dial(s.reactor, s.outside.netns, s.pod.ip, 80);
    const outbound = await dial(s.reactor, s.pod.netns, s.outside.ip, 80);
    // As ztunnel dials an application: from the client's address, with the mark.
    const asClient = { bindAddress: s.outside.ip, transparent: true, freebind: true, mark: MARK };
    const preserving = await dial(s.reactor, s.pod.netns, s.pod.ip, 80, asClient);
    await inbound.until((c) => c.received === "zt15006");
    await outbound.until((c) => c.received === "zt15001");
    await preserving.until((c) => c.received === "app");
    await drainRedirect(s.pod.path, firewall);
    assert.deepEqual(await table(s), PLAIN, "new connections are plain");
    for (const connection of [inbound, outbound, preserving]) {
      await connection.echo("ping");
      connection.close();
    }
    await removeRedirect(s.pod.path, firewall);
    assert.equal(await hasRedirect(s.pod.path, firewall), false);
    assert.deepEqual(await table(s), PLAIN);
  });

  test("the application sees the client's address, and its replies come back to ztunnel", async (s) => {
    await applyRedirect(s.pod.path, firewall, DEFAULT_REDIRECT);
    const app = new EchoServer(s.reactor, s.pod.netns, 8080, "app");
    for (const [client, target] of [[s.outside.ip, s.pod.ip], [s.outside.ip6, s.pod.ip6]]) {
      const asClient = { bindAddress: client, transparent: true, freebind: true, mark: MARK };
      const connection = await dial(s.reactor, s.pod.netns, target, 8080, asClient);
      await connection.until((c) => c.received === "app");
      await connection.echo("ping");
      assert.equal(app.clients.at(-1)?.from, client);
      connection.close();
    }
    app.close();
  });

  test("failures say what was attempted", async (s) => {
    await assert.rejects(
      applyRedirect("/proc/self/none", firewall, DEFAULT_REDIRECT),
      /cannot set up redirection in "\/proc\/self\/none"/,
    );
    await applyRedirect(s.pod.path, firewall, DEFAULT_REDIRECT);
  });
}

const noNetns = CAN_NETNS ? undefined : "network namespaces cannot be made here";
compliance("nftables", noNetns ?? (await installed("nft") ? undefined : "nft is not installed"));
compliance("iptables", noNetns ?? (await installed("iptables-restore") ? undefined : "iptables is not installed"));

Deno.test({
  name: `HostProbes: the kubelet's connections to captured pods come from the probe address${noNetns ?? ""}`,
  ignore: noNetns !== undefined || !(await installed("nft")),
  fn: () =>
    scene(async ({ reactor, outside, pod }) => {
      // "outside" plays the node.
      await pod.run("ip", "route", "add", "169.254.7.127/32", "via", outside.ip);
      const app = new EchoServer(reactor, pod.netns, 8080, "app");
      const probes = new HostProbes(outside.path, { uid: 0 });
      await probes.add("early", [pod.ip]);
      await probes.install();
      assert.equal(await answer(reactor, outside, pod.ip, 8080), "app");
      assert.equal(app.clients.at(-1)?.from, "169.254.7.127");
      await probes.add("late", [pod.ip]);
      await probes.remove("early");
      await answer(reactor, outside, pod.ip, 8080);
      assert.equal(app.clients.at(-1)?.from, "169.254.7.127", "the address belongs to its newer pod");
      await probes.remove("late");
      await answer(reactor, outside, pod.ip, 8080);
      assert.equal(app.clients.at(-1)?.from, outside.ip);
      await probes.uninstall();
      assert.doesNotMatch(await outside.run("nft", "list", "ruleset"), /istio/);
      app.close();
    }),
});
