// ztunnel as processes: the role itself, fed by xDS, the CA and ZDS as on a node.

import assert from "node:assert/strict";
import { selfCommand } from "../../../src/core/self.ts";
import { ZdsServer } from "../../../src/inpod/mod.ts";
import { EMPTY_MATCH } from "../../../src/model/mod.ts";
import { Reactor } from "../../../src/net/mod.ts";
import { applyRedirect, DEFAULT_REDIRECT } from "../../../src/redirect/mod.ts";
import { Logger } from "../../../src/telemetry/logger.ts";
import { TestControlPlane } from "../../support/control_plane.ts";
import { eventually } from "../../support/eventually.ts";
import { memberOf, service, workload } from "../../support/model.ts";
import { CAN_NETNS, type LabPod, NetLab } from "../../support/netns.ts";
import { dial, EchoServer, type TestConnection } from "../../support/tcp.ts";

/** A ztunnel process and what it printed. */
class Process {
  readonly child: Deno.ChildProcess;
  output = "";
  readonly #reading: Promise<void>[];

  constructor(env: Record<string, string>) {
    const [command, ...args] = selfCommand(["ztunnel"]);
    this.child = new Deno.Command(command, { args, env, stdin: "null", stdout: "piped", stderr: "piped" }).spawn();
    this.#reading = [this.child.stdout, this.child.stderr].map(async (stream) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) this.output += text;
    });
  }

  /** A port from the line that says it has started. */
  async port(name: "admin" | "stats" | "readiness"): Promise<number> {
    return await eventually(() => {
      const found = new RegExp(`ztunnel started\\t.*\\b${name}=(\\d+)`).exec(this.output);
      assert.ok(found, this.output);
      return Number(found[1]);
    }, 20_000);
  }

  async get(name: "admin" | "stats" | "readiness", path: string, method = "GET"): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${await this.port(name)}${path}`, { method });
    return `${response.status} ${await response.text()}`;
  }

  async stop(signal: Deno.Signal = "SIGKILL"): Promise<number> {
    try {
      this.child.kill(signal);
    } catch {
      // It has ended.
    }
    const { code } = await this.child.status;
    await Promise.all(this.#reading);
    return code;
  }
}

interface Node {
  readonly name: string;
  readonly zds: ZdsServer;
  readonly pods: { uid: string; name: string; pod: LabPod }[];
  process: Process;
}

Deno.test({
  name: `process: two nodes, restart, drain${CAN_NETNS ? "" : " (ignored: network namespaces cannot be made here)"}`,
  ignore: !CAN_NETNS,
  fn: async (t) => {
    const reactor = new Reactor(), lab = await NetLab.create(), plane = await TestControlPlane.start(["n1", "n2"]);
    reactor.start();
    const logger = new Logger("cni", { sink: { write: () => {} } });
    const connections: TestConnection[] = [], servers: EchoServer[] = [], nodes: Node[] = [];
    const start = (node: string) => new Process({ ...plane.env(node, `${plane.dir}/${node}.sock`), RUST_LOG: "info" });
    const greet = async (from: LabPod, address: string, port: number) => {
      const connection = await dial(reactor, from.netns, address, port);
      connections.push(connection);
      return await connection.until((c) => c.received !== "" || c.state !== "open");
    };
    try {
      for (const name of ["n1", "n2"]) {
        const pods: Node["pods"] = [];
        const zds = new ZdsServer({
          path: `${plane.dir}/${name}.sock`,
          logger,
          snapshot: () =>
            pods.map(({ uid, name, pod }) => ({
              uid,
              info: { name, namespace: "default", serviceAccount: name },
              netns: pod.netns.fd,
            })),
        });
        nodes.push({ name, zds, pods, process: start(name) });
      }
      const [n1, n2] = nodes;
      const client = await lab.pod("client"), web = await lab.pod("web");
      for (const [node, name, pod] of [[n1, "client", client], [n2, "web", web]] as const) {
        await applyRedirect(pod.path, "nftables", { ...DEFAULT_REDIRECT, dnsCapture: false });
        const services = name === "web" ? memberOf({ "default/web.default.svc.cluster.local": { 80: 80 } }) : new Map();
        plane.workloads(workload(name, pod.ip, { serviceAccount: name, node: node.name, services }));
        node.pods.push({ uid: `uid-${name}`, name, pod });
      }
      plane.services(service("web", "10.96.0.1", { 80: 80 }));
      servers.push(new EchoServer(reactor, web.netns, 80, "web"));

      await t.step("become ready and carry a connection", async () => {
        for (const node of nodes) {
          for (const { uid, name, pod } of node.pods) {
            const info = { name, namespace: "default", serviceAccount: name };
            await eventually(() => node.zds.add({ uid, info, netns: pod.netns.fd }), 20_000);
          }
          await eventually(async () =>
            assert.equal(await node.process.get("readiness", "/healthz/ready"), "200 ready\n")
          );
        }
        const connection = await eventually(async () => {
          const attempt = await greet(client, "10.96.0.1", 80);
          assert.equal(attempt.received, "web");
          return attempt;
        });
        await connection.echo("ping");
        assert.equal(servers[0].clients.at(-1)?.from, client.ip);
        connection.end();
        await eventually(() => assert.match(n2.process.output, /connection complete\t.*direction="inbound"/));
        const identity = /src.identity="spiffe:\/\/cluster.local\/ns\/default\/sa\/client"/;
        await eventually(() => assert.match(n1.process.output, identity));
      });

      await t.step("tell about themselves", async () => {
        const dump = JSON.parse((await n1.process.get("admin", "/config_dump")).slice(4));
        assert.deepEqual(dump.workloads.map((one: any) => one.name).sort(), ["client", "web"]);
        assert.equal(dump.certificates[0].state, "Available");
        assert.equal(dump.workloadState["uid-client"].state, "Up");
        assert.ok(!JSON.stringify(dump).includes("PRIVATE KEY"));
        assert.match(
          await n2.process.get("stats", "/metrics"),
          /istio_tcp_connections_opened_total\{reporter="destination"/,
        );
        assert.match(await n1.process.get("admin", "/logging?level=access:off", "POST"), /^200 current log level/);
        assert.match(await n1.process.get("admin", "/logging?level=nonsense", "POST"), /^400 /);
        assert.match(await n1.process.get("admin", "/logging?reset", "POST"), /^200 /);
      });

      await t.step("a policy from xDS closes what it forbids", async () => {
        const live = await greet(client, web.ip, 80);
        plane.policies({
          namespace: "default",
          name: "no-client",
          scope: "NAMESPACE",
          action: "DENY",
          rules: [[[{ ...EMPTY_MATCH, principals: [{ kind: "suffix", value: "/sa/client" }] }]]],
          dryRun: false,
        });
        await live.until((c) => c.state !== "open");
        plane.removePolicies("default/no-client");
        await eventually(async () => assert.equal((await greet(client, web.ip, 80)).received, "web"));
      });

      await t.step("killed and started again, they serve again without anybody's help", async () => {
        for (const node of nodes) {
          await node.process.stop("SIGKILL");
          node.process = start(node.name);
        }
        await eventually(async () => assert.equal((await greet(client, "10.96.0.1", 80)).received, "web"), 20_000);
      });

      await t.step("SIGTERM lets connections end, then exits 0", async () => {
        for (const connection of connections.splice(0)) connection.close();
        const live = await greet(client, "10.96.0.1", 80);
        const ended = n1.process.stop("SIGTERM");
        await eventually(() => assert.match(n1.process.output, /draining/));
        await live.echo("still here");
        live.close();
        assert.equal(await ended, 0, n1.process.output);
        assert.match(n1.process.output, /ztunnel ended/);
      });
    } catch (thrown) {
      for (const node of nodes) console.error(`--- ${node.name}\n${node.process.output}`);
      console.error(plane.lines.join("\n"));
      throw thrown;
    } finally {
      for (const node of nodes) {
        await node.process.stop();
        await node.zds.close();
      }
      for (const connection of connections) connection.close();
      for (const server of servers) server.close();
      await reactor.stop();
      lab.close();
      await plane.close();
    }
  },
});
