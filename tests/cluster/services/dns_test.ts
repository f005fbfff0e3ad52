import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Resolver } from "node:dns/promises";
import packet from "dns-packet";
import { answerQuery } from "../../../src/cluster/services/dns.ts";
import { serveDns } from "../../../src/cluster/services/dns_server.ts";
import { ClusterNames } from "../../../src/cluster/services/names.ts";
import { Objects } from "../runtime/objects.ts";
import { service, slice } from "./objects.ts";

function zone(): { names: ClusterNames; objects: Objects } {
  const objects = new Objects();
  objects.put("namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: "default" } });
  objects.put(
    "services",
    service("web", {
      clusterIP: "10.96.0.5",
      ports: [{ name: "http", port: 80 }, { name: "dns", port: 53, protocol: "UDP" }],
    }),
  );
  objects.put("services", service("db", { clusterIP: "None", ports: [{ name: "sql", port: 5432 }] }));
  objects.put("services", service("none", { clusterIP: "None", ports: [{ name: "x", port: 1 }] }));
  objects.put("services", service("ext", { type: "ExternalName", externalName: "example.org" }));
  objects.put("services", service("alias", { type: "ExternalName", externalName: "web.default.svc.cluster.local" }));
  objects.put("services", service("loop", { type: "ExternalName", externalName: "loop.default.svc.cluster.local" }));
  objects.put(
    "endpointslices",
    slice("db", [
      { addresses: ["10.244.0.2"], hostname: "db-0" },
      { addresses: ["10.244.1.3"] },
      { addresses: ["10.244.1.4"], conditions: { ready: false } },
    ], [{ name: "sql", port: 15432 }]),
  );
  return { names: new ClusterNames(objects.api), objects };
}

function ask(names: ClusterNames, name: string, type = "A", extra: any = {}, limit?: number) {
  const query = packet.encode({
    type: "query",
    id: 7,
    flags: packet.RECURSION_DESIRED,
    questions: [{ type: type as any, name }],
    ...extra,
  });
  const bytes = answerQuery(query, names, limit)!;
  const answer: any = packet.decode(Buffer.from(bytes));
  const show = (one: any) => one.type === "SRV" ? `${one.data.port} ${one.data.target}` : String(one.data);
  return { answer, bytes, rcode: answer.rcode, got: (answer.answers as any[]).map(show).sort() };
}

Deno.test("names follow the Kubernetes DNS specification", () => {
  const { names } = zone();
  const d = "default.svc.cluster.local";
  const cases: [name: string, type: string, rcode: string, answers: string[]][] = [
    [`web.${d}`, "A", "NOERROR", ["10.96.0.5"]],
    [`WEB.Default.svc.cluster.LOCAL`, "A", "NOERROR", ["10.96.0.5"]],
    [`web.${d}`, "AAAA", "NOERROR", []],
    [`web.${d}`, "MX", "NOERROR", []],
    [`absent.${d}`, "A", "NXDOMAIN", []],
    ["web.other.svc.cluster.local", "A", "NXDOMAIN", []],
    [d, "A", "NOERROR", []],
    ["svc.cluster.local", "A", "NOERROR", []],
    ["cluster.local", "A", "NOERROR", []],
    ["other.svc.cluster.local", "A", "NXDOMAIN", []],
    [`_http._tcp.web.${d}`, "SRV", "NOERROR", [`80 web.${d}`]],
    [`_http._udp.web.${d}`, "SRV", "NXDOMAIN", []],
    [`_dns._udp.web.${d}`, "SRV", "NOERROR", [`53 web.${d}`]],
    [`web.${d}`, "SRV", "NOERROR", [`53 web.${d}`, `80 web.${d}`]],
    [`db.${d}`, "A", "NOERROR", ["10.244.0.2", "10.244.1.3"]],
    [`db-0.db.${d}`, "A", "NOERROR", ["10.244.0.2"]],
    [`10-244-1-3.db.${d}`, "A", "NOERROR", ["10.244.1.3"]],
    [`10-244-1-4.db.${d}`, "A", "NXDOMAIN", []],
    [`_sql._tcp.db.${d}`, "SRV", "NOERROR", [`15432 10-244-1-3.db.${d}`, `15432 db-0.db.${d}`]],
    [`none.${d}`, "A", "NXDOMAIN", []],
    [`ext.${d}`, "A", "NOERROR", ["example.org"]],
    [`alias.${d}`, "A", "NOERROR", ["10.96.0.5", `web.${d}`]],
    ["10-244-1-9.default.pod.cluster.local", "A", "NOERROR", ["10.244.1.9"]],
    ["10-244-1-999.default.pod.cluster.local", "A", "NXDOMAIN", []],
    ["x.default.pod.cluster.local", "A", "NXDOMAIN", []],
    ["10-244-1-9.absent.pod.cluster.local", "A", "NXDOMAIN", []],
    ["5.0.96.10.in-addr.arpa", "PTR", "NOERROR", [`web.${d}`]],
    ["2.0.244.10.in-addr.arpa", "PTR", "NOERROR", [`db-0.db.${d}`]],
    ["9.9.9.9.in-addr.arpa", "PTR", "NXDOMAIN", []],
    ["dns-version.cluster.local", "TXT", "NOERROR", ["1.1.0"]],
    ["example.org", "A", "NXDOMAIN", []],
    ["constructor.__proto__.svc.cluster.local", "A", "NXDOMAIN", []],
  ];
  for (const [name, type, rcode, answers] of cases) {
    const result = ask(names, name, type);
    assert.deepEqual([result.rcode, result.got], [rcode, answers], `${name} ${type}`);
    if (answers.length === 0 && name.toLowerCase().endsWith("cluster.local")) {
      assert.equal(result.answer.authorities[0]?.type, "SOA", `${name} ${type} tells how long it may be remembered`);
    }
  }
  names.stop();
});

Deno.test("changes are seen at once; a CNAME that leads to itself ends", () => {
  const { names, objects } = zone();
  objects.remove("services", "default", "web");
  assert.equal(ask(names, "web.default.svc.cluster.local").rcode, "NXDOMAIN");
  objects.put("services", service("new", { clusterIP: "10.96.0.9", ports: [{ port: 1 }] }));
  assert.deepEqual(ask(names, "new.default.svc.cluster.local").got, ["10.96.0.9"]);
  assert.deepEqual(ask(names, "9.0.96.10.in-addr.arpa", "PTR").got, ["new.default.svc.cluster.local"]);
  assert.ok(ask(names, "loop.default.svc.cluster.local").got.length <= 8);
  names.stop();
});

Deno.test("an answer that does not fit is marked as cut and comes whole over TCP or EDNS", () => {
  const { names, objects } = zone();
  const many = Array.from({ length: 60 }, (_, i) => ({ addresses: [`10.244.2.${i + 1}`] }));
  objects.put("services", service("many", { clusterIP: "None", ports: [{ name: "x", port: 1 }] }));
  objects.put("endpointslices", slice("many", many, [{ name: "x", port: 1 }]));
  const name = "many.default.svc.cluster.local";
  const plain = ask(names, name);
  assert.ok(plain.answer.flag_tc && plain.bytes.length <= 512);
  const edns = ask(names, name, "A", {
    additionals: [{ type: "OPT", name: ".", udpPayloadSize: 4096, flags: 0, options: [] }],
  });
  assert.ok(edns.bytes.length <= 1232);
  const whole = ask(names, name, "A", {}, 65535);
  assert.equal(whole.got.length, 60);
  assert.equal(whole.answer.flag_tc, false);
  names.stop();
});

Deno.test("hostile messages are refused or ignored, never thrown", () => {
  const { names } = zone();
  const rcode = (message: Uint8Array) => {
    const answer = answerQuery(message, names);
    return answer && (answer[3] & 15);
  };
  const valid = packet.encode({
    type: "query",
    id: 1,
    questions: [{ type: "A", name: "web.default.svc.cluster.local" }],
  });
  assert.equal(rcode(new Uint8Array(0)), undefined);
  assert.equal(rcode(new Uint8Array(11)), undefined);
  const reply = Uint8Array.from(valid);
  reply[2] |= 0x80;
  assert.equal(rcode(reply), undefined, "an answer is not answered: two servers must not talk for ever");
  const update = Uint8Array.from(valid);
  update[2] |= 5 << 3;
  assert.equal(rcode(update), 4);
  const questions = [{ type: "A" as const, name: "a" }, { type: "A" as const, name: "b" }];
  assert.equal(rcode(packet.encode({ type: "query", id: 1, questions })), 1);
  assert.equal(rcode(packet.encode({ type: "query", id: 1, questions: [] })), 1);
  // A name that is a pointer to itself, and one to the end of the message.
  const head = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  for (const tail of [[0xc0, 12, 0, 1, 0, 1], [0xc0, 0xff, 0, 1, 0, 1], [63], [0xff, 0xff]]) {
    assert.equal(rcode(Uint8Array.from([...head, ...tail])), 1);
  }
  let state = 12345;
  const random = () => (state = (state * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
  for (let round = 0; round < 3000; round++) {
    const message = Uint8Array.from(valid);
    for (let flips = 0; flips < 1 + random() * 8; flips++) {
      message[Math.floor(random() * message.length)] = random() * 256;
    }
    const answer = answerQuery(message.subarray(0, Math.floor(random() * (message.length + 1))), names);
    if (answer) assert.ok(answer.length <= 1232);
  }
  names.stop();
});

Deno.test("serveDns() answers over UDP and TCP and lets idle and broken clients go", async () => {
  const { names, objects } = zone();
  const server = await serveDns(names, "127.0.0.1", 0);
  try {
    const resolver = new Resolver();
    resolver.setServers([`127.0.0.1:${server.port}`]);
    assert.deepEqual(await resolver.resolve4("web.default.svc.cluster.local"), ["10.96.0.5"]);
    await assert.rejects(resolver.resolve4("absent.default.svc.cluster.local"));
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
    const query = packet.encode({
      type: "query",
      id: 9,
      questions: [{ type: "A", name: "web.default.svc.cluster.local" }],
    });
    const framed = Uint8Array.from([query.length >> 8, query.length & 255, ...query]);
    // Two messages in three pieces.
    const both = Uint8Array.from([...framed, ...framed]);
    for (const piece of [both.subarray(0, 1), both.subarray(1, 40), both.subarray(40)]) await conn.write(piece);
    let received = 0;
    const buffer = new Uint8Array(4096);
    const expected = 2 * (2 + answerQuery(query, names)!.length);
    while (received < expected) received += await conn.read(buffer) ?? Infinity;
    assert.equal(received, expected);
    await conn.write(Uint8Array.of(0, 3, 1, 2, 3));
    assert.equal(await conn.read(buffer).catch(() => null), null, "what is no query ends the connection");
    conn.close();
    objects.remove("services", "default", "web");
    await assert.rejects(resolver.resolve4("web.default.svc.cluster.local"));
    resolver.cancel();
  } finally {
    await server.close();
    names.stop();
  }
});
