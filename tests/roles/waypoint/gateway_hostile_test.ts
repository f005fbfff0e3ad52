// A gateway and clients that mean no good: server names and hosts that do not belong together, handshakes that never end, hosts of nobody.

import assert from "node:assert/strict";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import type { L7Policy, TlsSecret } from "../../../src/model/mod.ts";
import { eventually } from "../../support/eventually.ts";
import { destination, type Lab, listener, policy, route, virtualHost, withLab } from "./lab.ts";

function freePort(): number {
  const probe = Deno.listen({ hostname: "127.0.0.1", port: 0 }), { port } = probe.addr;
  probe.close();
  return port;
}

async function secret(lab: Lab, name: string, dns: string): Promise<TlsSecret> {
  const { chainPem, keyPem } = await lab.ca.servingCertificate([{ dns }], 3600_000, { kind: "EC", curve: "P-256" });
  return { kind: "secret", name, certificateChain: chainPem, privateKey: keyPem };
}

/** All that comes back to a request over TLS; "" when the connection ends before. */
function ask(port: number, servername: string, host: string): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket: TLSSocket = connectTls({ host: "127.0.0.1", port, servername, rejectUnauthorized: false }, () => {
      socket.write(`GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`);
    });
    socket.on("data", (bytes) => text += bytes.toString("latin1"));
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });
}

const bySni = (action: L7Policy["action"], extra: { values?: string[]; notValues?: string[] }): L7Policy =>
  policy("sni", {
    action,
    rules: [{ from: [], to: [], when: [{ key: "connection.sni", values: [], notValues: [], ...extra }] }],
  });

/** For each policy: server names that it lets through, and others. */
const SNI: readonly (readonly [L7Policy, allowed: string[], denied: string[]])[] = [
  [bySni("ALLOW", { values: ["a.example.com"] }), ["a.example.com", "A.Example.COM"], [
    "b.example.com",
    "aa.example.com",
    "",
  ]],
  [bySni("ALLOW", { values: ["*.example.com"] }), ["a.example.com", "x.y.example.com"], [
    "example.com",
    "example.org",
    "",
  ]],
  [bySni("ALLOW", { values: ["*"] }), ["a.example.com"], [""]],
  [bySni("ALLOW", { notValues: ["a.example.com"] }), ["b.example.com", ""], ["a.example.com", "A.EXAMPLE.com"]],
  [bySni("DENY", { values: ["a.*"] }), ["b.example.com", ""], ["a.example.com", "a.org"]],
  [bySni("DENY", { notValues: ["a.example.com"] }), ["a.example.com"], ["b.example.com", ""]],
];

Deno.test("connection.sni of policies holds at a port of HTTPS, whatever Host says", async () => {
  await withLab({}, async (lab) => {
    const port = freePort(), backend = lab.backend(() => new Response("served"));
    lab.apply([
      await secret(lab, "cert", "*.example.com"),
      listener("https", port, {
        protocol: "HTTPS",
        tls: { mode: "SIMPLE", secrets: ["cert"], minVersion: "TLSv1_2" },
      }),
      virtualHost("https", [route("web")]),
      destination("web", backend),
    ]);
    for (const [rules, allowed, denied] of SNI) {
      lab.apply([rules]);
      for (const name of allowed) {
        assert.match(await ask(port, name, "b.example.com"), /^HTTP\/1.1 200 [^]*served/, name);
      }
      for (const name of denied) {
        assert.match(await ask(port, name, "a.example.com"), /^HTTP\/1.1 403 [^]*RBAC: access denied$/, name);
      }
    }
    const refused = lab.requests.filter((one) => one.startsWith("403 - rbac_access_denied"));
    assert.equal(refused.length, SNI.flatMap(([, , denied]) => denied).length);
  });
});

Deno.test("connection.sni of policies holds where TLS passes through: connections that are denied never reach the server", async () => {
  await withLab({}, async (lab) => {
    const { chainPem, keyPem } = await lab.ca.servingCertificate([{ dns: "a.example.com" }], 3600_000, {
      kind: "EC",
      curve: "P-256",
    });
    const seen: string[] = [];
    const server = createTlsServer({ cert: chainPem, key: keyPem }, (socket) => {
      seen.push((socket as TLSSocket & { servername: string }).servername || "");
      socket.on("error", () => {});
      socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\n\r\nserver"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const port = freePort(), behind = (server.address() as AddressInfo).port;
    lab.apply([
      listener("tls", port, {
        protocol: "TLS_PASSTHROUGH",
        tcp: { destinations: [{ destination: "server", weight: 1 }] },
      }),
      destination("server", behind, { protocol: "TCP" }),
    ]);
    for (const [rules, allowed, denied] of SNI) {
      lab.apply([rules]);
      for (const name of allowed) {
        seen.length = 0;
        assert.match(await ask(port, name, "x"), /server$/, name);
        assert.deepEqual(seen.map((one) => one.toLowerCase()), [name.toLowerCase()]);
      }
      seen.length = 0;
      for (const name of denied) assert.equal(await ask(port, name, "x"), "", name);
      assert.deepEqual(seen, []);
    }
    await new Promise((resolve) => server.close(resolve));
  });
});

Deno.test("requests for hosts of nobody, and what is no request, are accounted for where no listener takes every host", async () => {
  await withLab({}, async (lab) => {
    const port = freePort(), backend = lab.backend(() => new Response("served"));
    lab.apply([
      ...["one", "two"].map((name) => listener(name, port, { hostnames: [`${name}.example.com`] })),
      virtualHost("one", [route("web")]),
      destination("web", backend),
    ]);
    const say = async (text: string) => {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port });
      await conn.write(new TextEncoder().encode(text));
      const answer = await new Response(conn.readable).text();
      return answer.slice(0, 12);
    };
    const get = (host: string) => `GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`;
    assert.equal(await say(get("one.example.com")), "HTTP/1.1 200");
    assert.equal(await say(get("evil.example.com")), "HTTP/1.1 404");
    assert.equal(await say("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"), "HTTP/1.1 400");
    await eventually(() => assert.equal(lab.requests.length, 3));
    assert.deepEqual(lab.requests.map((one) => one.slice(0, 7)), ["200 - v", "404 NR ", "400 DPE"]);
  });
});

Deno.test("a thousand handshakes that never end leave room for those that do", async () => {
  await withLab({}, async (lab) => {
    const port = freePort(), backend = lab.backend(() => new Response("served"));
    lab.apply([
      await secret(lab, "cert", "a.example.com"),
      listener("https", port, {
        protocol: "HTTPS",
        tls: { mode: "SIMPLE", secrets: ["cert"], minVersion: "TLSv1_2" },
      }),
      virtualHost("https", [route("web")]),
      destination("web", backend),
    ]);
    // The first bytes of a ClientHello, whose rest does not come.
    const half = new Uint8Array([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), before = Deno.memoryUsage().rss;
    const stuck: Deno.Conn[] = [];
    for (let i = 0; i < 1000; i++) {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port });
      await conn.write(half);
      stuck.push(conn);
    }
    assert.match(await ask(port, "a.example.com", "a.example.com"), /served/);
    const grown = (Deno.memoryUsage().rss - before) / 1e6;
    assert.ok(grown < 100, `${grown} MB for 1000 handshakes`);
    for (const conn of stuck) conn.close();
    assert.match(await ask(port, "a.example.com", "a.example.com"), /served/);
  });
});
