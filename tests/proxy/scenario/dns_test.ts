// The DNS proxy in captured pods, with real packets.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as dns from "dns-packet";
import { TcpFrames } from "../../../src/proxy/dns/tcp_frames.ts";
import { UdpSocket } from "../../../src/proxy/dns/udp.ts";
import { tap } from "../../../src/net/mod.ts";
import { eventually } from "../../support/eventually.ts";
import { MeshLab } from "../../support/mesh_lab.ts";
import { service } from "../../support/model.ts";
import { CAN_NETNS, type LabPod } from "../../support/netns.ts";

const SERVER = "10.99.0.2";

function scenario(name: string, fn: (lab: MeshLab) => Promise<void>): void {
  const why = CAN_NETNS ? "" : " (ignored: network namespaces cannot be made here)";
  Deno.test({ name: `dns: ${name}${why}`, ignore: !CAN_NETNS, fn: () => MeshLab.run(fn) });
}

function query(name: string, type: dns.RecordType, id = 99): Uint8Array {
  return dns.encode({ type: "query", id, flags: dns.RECURSION_DESIRED, questions: [{ name, type }] });
}

const summary = (packet: dns.DecodedPacket): string =>
  `${(packet as any).rcode} ${(packet.answers ?? []).map((one: any) => one.data).join(",")}`;

/** Asks from inside a pod, as an application would: the redirect does the rest. */
function ask(lab: MeshLab, pod: LabPod, name: string, type: dns.RecordType = "A", to = SERVER): Promise<string> {
  return new Promise((resolve, reject) => {
    const finish = (text: string | undefined) => {
      timer.cancel();
      socket.close();
      text === undefined ? reject(new Error(`no answer for ${name}`)) : resolve(text);
    };
    const timer = lab.reactor.setTimer(8000, () => finish(undefined));
    const socket: UdpSocket = new UdpSocket(
      lab.reactor,
      { netns: pod.netns, address: "0.0.0.0", port: 0 },
      (bytes, from) => {
        assert.equal(from.address, to, "the answer seems to come from whom was asked");
        const packet = dns.decode(Buffer.from(bytes));
        assert.equal(packet.id, 99);
        finish(summary(packet));
      },
    );
    socket.send(query(name, type), { address: to, port: 53 });
  });
}

/** A name server that answers every A question with one address and never AAAA. */
function nameServer(lab: MeshLab, pod: LabPod): { asked: string[]; close(): void } {
  const asked: string[] = [];
  const socket: UdpSocket = new UdpSocket(
    lab.reactor,
    { netns: pod.netns, address: "0.0.0.0", port: 53 },
    (bytes, from) => {
      const packet = dns.decode(Buffer.from(bytes));
      const [{ name, type }] = packet.questions!;
      asked.push(`${from.address} ${type} ${name}`);
      if (name === "silent.example.com") return;
      const answers: dns.Answer[] = type === "A" ? [{ type: "A", name, ttl: 5, data: "203.0.113.1" }] : [];
      socket.send(dns.encode({ type: "response", id: packet.id, questions: packet.questions, answers }), from);
    },
  );
  return { asked, close: () => socket.close() };
}

scenario("the mesh's names are answered, others asked for from the pod, and failures are SERVFAIL", async (lab) => {
  const node = lab.node("node-1", undefined, [SERVER]);
  const dnsPod = await lab.net.pod("dns");
  assert.equal(dnsPod.ip, SERVER);
  const server = nameServer(lab, dnsPod);
  try {
    const client = await lab.pod("client", node);
    lab.services(service("web", "10.96.0.1", { 80: 80 }));
    assert.equal(await ask(lab, client, "web.default.svc.cluster.local"), "NOERROR 10.96.0.1");
    assert.equal(await ask(lab, client, "web"), "NOERROR 10.96.0.1");
    assert.equal(await ask(lab, client, "web", "AAAA"), "NOERROR ");
    // Whoever is asked: the question is answered in the pod.
    assert.equal(await ask(lab, client, "web", "A", "192.0.2.53"), "NOERROR 10.96.0.1");
    assert.deepEqual(server.asked, []);
    assert.equal(await ask(lab, client, "other.example.com"), "NOERROR 203.0.113.1");
    assert.equal(await ask(lab, client, "web", "TXT"), "NOERROR ");
    assert.deepEqual(server.asked, [`${client.ip} A other.example.com`, `${client.ip} TXT web`]);
    assert.equal(await ask(lab, client, "silent.example.com"), "SERVFAIL ");
    const metrics = node.registry.expose();
    assert.match(
      metrics,
      /istio_dns_requests_total\{request_query_type="A",request_protocol="udp",source_workload="client"[^}]*\} 5/,
    );
    assert.match(metrics, /istio_dns_upstream_failures_total\{[^}]*\} 1/);
  } finally {
    server.close();
  }
});

scenario("over TCP, several questions on one connection", async (lab) => {
  const node = lab.node("node-1", undefined, [SERVER]);
  await lab.net.pod("dns");
  const client = await lab.pod("client", node);
  lab.services(service("web", "10.96.0.1", { 80: 80 }));
  const { connectTcp } = await import("../../../src/net/mod.ts");
  const got: string[] = [];
  await new Promise<void>((resolve, reject) => {
    connectTcp(lab.reactor, { netns: client.netns, address: SERVER, port: 53, timeoutMs: 5000 }, (error, socket) => {
      if (error) return reject(error);
      const frames = new TcpFrames((message) => {
        got.push(summary(dns.decode(Buffer.from(message))));
        if (got.length === 2) {
          socket!.close();
          resolve();
        }
      });
      const side = tap(socket!, {
        onData: (bytes) => void frames.take(bytes),
        onAbort: () => reject(new Error("reset")),
      });
      side.write(TcpFrames.frame(query("web", "A")));
      side.write(TcpFrames.frame(query("web.default", "A")));
    });
  });
  assert.deepEqual(got, ["NOERROR 10.96.0.1", "NOERROR 10.96.0.1"]);
});

scenario("a pod that leaves asks the name server itself again", async (lab) => {
  const node = lab.node("node-1", undefined, [SERVER]);
  const dnsPod = await lab.net.pod("dns");
  const server = nameServer(lab, dnsPod);
  try {
    const client = await lab.pod("client", node);
    lab.services(service("web", "10.96.0.1", { 80: 80 }));
    assert.equal(await ask(lab, client, "web"), "NOERROR 10.96.0.1");
    await lab.release(client);
    await eventually(async () => assert.equal(await ask(lab, client, "web"), "NOERROR 203.0.113.1"));
  } finally {
    server.close();
  }
});
