import assert from "node:assert/strict";
import { connect as connectNet, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer, type PeerCertificate, type TLSSocket } from "node:tls";
import http2 from "node:http2";
import type { Buffer } from "node:buffer";
import { testCa } from "../../identity/support.ts";
import { eventually } from "../../support/eventually.ts";
import type { KeySpec } from "../../../src/identity/keys.ts";
import type { L7Listener, TlsSecret } from "../../../src/model/mod.ts";
import { destination, type Lab, listener, policy, route, virtualHost, withLab } from "./lab.ts";

/** A port that nobody listens on now. */
function freePort(): number {
  const probe = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = probe.addr;
  probe.close();
  return port;
}

const EC = { kind: "EC", curve: "P-256" } as const;

async function secret(lab: Lab, name: string, dns: string, ca?: string, key: KeySpec = EC): Promise<TlsSecret> {
  const { chainPem, keyPem } = await lab.ca.servingCertificate([{ dns }], 3600_000, key);
  return { kind: "secret", name, certificateChain: chainPem, privateKey: keyPem, ca };
}

const tls = (secrets: string[], extra: Partial<NonNullable<L7Listener["tls"]>> = {}) => ({
  mode: "SIMPLE" as const,
  secrets,
  minVersion: "TLSv1_2" as const,
  ...extra,
});

interface Talk {
  readonly socket: Socket | TLSSocket;
  /** Sends, and waits for an answer that matches. */
  ask(text: string, want: RegExp): Promise<string>;
  /** Waits for the other side's end. */
  ended(): Promise<string>;
}

function talk(socket: Socket | TLSSocket): Talk {
  let received = "", over = false, wake = () => {};
  socket.on("data", (bytes: Buffer) => {
    received += bytes.toString("latin1");
    wake();
  });
  for (const event of ["end", "close", "error"]) {
    socket.on(event, () => {
      over = true;
      wake();
    });
  }
  const until = async (done: () => boolean) => {
    const timer = setTimeout(() => socket.destroy(), 10_000);
    while (!done() && !over) await new Promise<void>((resolve) => wake = resolve);
    clearTimeout(timer);
  };
  return {
    socket,
    async ask(text, want) {
      received = "";
      socket.write(text);
      await until(() => want.test(received));
      assert.match(received, want);
      return received;
    },
    async ended() {
      await until(() => false);
      return received;
    },
  };
}

function plain(port: number): Promise<Talk> {
  return new Promise((resolve, reject) => {
    const socket = connectNet(port, "127.0.0.1", () => resolve(talk(socket)));
    socket.once("error", reject);
  });
}

function secure(lab: Lab, port: number, options: Record<string, unknown>): Promise<Talk> {
  return new Promise((resolve, reject) => {
    const socket = connectTls(
      { host: "127.0.0.1", port, ca: lab.ca.rootPem, ...options } as any,
      () => resolve(talk(socket)),
    );
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed")));
  });
}

const certificate = (one: Talk) => (one.socket as TLSSocket).getPeerCertificate() as PeerCertificate;
const get = (host: string, path = "/") => `GET ${path} HTTP/1.1\r\nhost: ${host}\r\n\r\n`;

Deno.test("a gateway's port is open while it has a listener, and closing it leaves what runs alone", async () => {
  await withLab({}, async (lab) => {
    const port = freePort();
    const reached = Promise.withResolvers<void>(), release = Promise.withResolvers<void>();
    const backend = lab.backend(async () => {
      reached.resolve();
      await release.promise;
      return new Response("late");
    });
    await assert.rejects(plain(port));
    lab.apply([listener("http", port), virtualHost("http", [route("web")]), destination("web", backend)]);
    assert.deepEqual(lab.proxy.ports, [port]);
    const client = await plain(port);
    const answer = client.ask(get("a"), /late$/);
    await reached.promise;
    lab.apply([], ["listener/http", "virtualHost/http/*", "destination/web"]);
    assert.deepEqual(lab.proxy.ports, []);
    await assert.rejects(plain(port));
    release.resolve();
    assert.match(await answer, /^HTTP\/1\.1 200 /);
    // What comes on the connection now finds no listener, and is told to look again.
    await client.ask(get("a"), /^HTTP\/1\.1 404 [^]*connection: close\r\n/);
    await client.ended();
  });
});

Deno.test("listeners that share a port are chosen by Host: the closest name wins, and nobody else's routes are seen", async () => {
  await withLab({}, async (lab) => {
    const port = freePort();
    const names = { any: "*", wild: "*.example.com", exact: "shop.example.com" };
    for (const [name, hostname] of Object.entries(names)) {
      const backend = lab.backend(() => new Response(name));
      lab.apply([
        listener(name, port, { hostnames: [hostname] }),
        virtualHost(name, [route(name, { match: { path: { kind: "exact", value: "/" }, headers: [], query: [] } })]),
        destination(name, backend),
      ]);
    }
    const client = await plain(port);
    for (
      const [host, want] of [
        ["shop.example.com", "exact"],
        ["SHOP.example.com:80", "exact"],
        ["b.example.com", "wild"],
        [
          "x",
          "any",
        ],
      ]
    ) {
      await client.ask(get(host), new RegExp(`${want}$`));
    }
    await client.ask(get("b.example.com", "/other"), /^HTTP\/1\.1 404 /);
    // A listener that comes later holds for connections that are there.
    lab.apply([], ["listener/exact"]);
    await client.ask(get("shop.example.com"), /wild$/);
    client.socket.destroy();
  });
});

Deno.test("TLS is terminated with the certificate of the server name; ALPN chooses the version", async () => {
  await withLab({}, async (lab) => {
    const port = freePort();
    const backend = lab.backend((request) => new Response(request.headers.get("x-forwarded-proto")));
    lab.apply([
      await secret(lab, "exact", "shop.example.com"),
      await secret(lab, "wild", "*.example.com"),
      listener("exact", port, { protocol: "HTTPS", hostnames: ["shop.example.com"], tls: tls(["exact"]) }),
      listener("wild", port, { protocol: "HTTPS", hostnames: ["*.example.com"], tls: tls(["wild"]) }),
      virtualHost("exact", [route("web")]),
      virtualHost("wild", [route("web")]),
      destination("web", backend),
    ]);
    for (const [servername, dns] of [["shop.example.com", "shop.example.com"], ["b.example.com", "*.example.com"]]) {
      const client = await secure(lab, port, { servername, ALPNProtocols: ["http/1.1"] });
      assert.equal(certificate(client).subjectaltname, `DNS:${dns}`);
      assert.equal((client.socket as TLSSocket).alpnProtocol, "http/1.1");
      await client.ask(get(servername), /https$/);
      client.socket.destroy();
    }
    await assert.rejects(secure(lab, port, { servername: "example.org" }));
    await assert.rejects(secure(lab, port, { servername: "b.example.com", maxVersion: "TLSv1.1" }));
    const old = await secure(lab, port, { servername: "b.example.com", maxVersion: "TLSv1.2" });
    await old.ask(get("b.example.com"), /https$/);
    old.socket.destroy();
    const session = http2.connect(`https://127.0.0.1:${port}`, { ca: lab.ca.rootPem, servername: "shop.example.com" });
    const body = await new Promise<string>((resolve, reject) => {
      session.on("error", reject);
      const stream = session.request({ ":path": "/", ":authority": "shop.example.com" });
      let text = "";
      stream.on("data", (bytes: Buffer) => text += bytes);
      stream.on("end", () => resolve(text));
      stream.end();
    });
    assert.equal(body, "https");
    await new Promise<void>((resolve) => session.close(resolve));
    // Plain text on a port for TLS is no request.
    const bare = await plain(port);
    bare.socket.write(get("shop.example.com"));
    assert.equal(await bare.ended(), "");
  });
});

Deno.test("a host of another TLS listener than the connection's is misdirected: nobody gets round client certificates so", async () => {
  await withLab({}, async (lab) => {
    const port = freePort(), backend = lab.backend(() => new Response("served"));
    const authority = await testCa();
    const listeners = [
      listener("any", port, { protocol: "HTTPS", hostnames: ["*"], tls: tls(["any"]) }),
      listener("wild", port, { protocol: "HTTPS", hostnames: ["*.example.com"], tls: tls(["any"]) }),
      listener("strict", port, {
        protocol: "HTTPS",
        hostnames: ["vault.example.com"],
        tls: tls(["any"], { mode: "MUTUAL", caSecret: "ca" }),
      }),
    ];
    lab.apply([
      await secret(lab, "any", "*.example.com"),
      { kind: "secret", name: "ca", certificateChain: "", privateKey: "", ca: authority.rootPem },
      ...listeners,
      // The listener for any host has routes for the others' hosts, too.
      ...listeners.map(({ name }) => virtualHost(name, [route("web")])),
      destination("web", backend),
    ]);
    const cases: [string, string, number][] = [
      ["a.example.com", "a.example.com", 200],
      ["a.example.com", "B.example.com:443", 200],
      ["a.example.com", "vault.example.com", 421],
      ["a.example.com", "VAULT.example.com:1", 421],
      ["a.example.com", "example.org", 421],
      ["example.org", "example.org", 200],
      ["example.org", "example.net", 200],
      ["example.org", "vault.example.com", 421],
      ["", "vault.example.com", 421],
    ];
    for (const [servername, host, status] of cases) {
      const client = await secure(lab, port, { servername, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
      await client.ask(get(host), new RegExp(`^HTTP/1.1 ${status} [^]*${status === 200 ? "served" : "\r\n\r\n"}$`));
      // And the same on a connection that has served.
      await client.ask(get(servername || "example.org"), /200 [^]*served$/);
      await client.ask(get(host), new RegExp(`^HTTP/1.1 ${status} `));
      client.socket.destroy();
    }
    // One that becomes another listener's is misdirected from then on.
    const client = await secure(lab, port, { servername: "a.example.com", ALPNProtocols: ["http/1.1"] });
    await client.ask(get("c.example.com"), /200 [^]*served$/);
    lab.apply([listener("late", port, { protocol: "HTTPS", hostnames: ["c.example.com"], tls: tls(["any"]) })]);
    await client.ask(get("c.example.com"), /^HTTP\/1.1 421 /);
    client.socket.destroy();
  });
});

Deno.test("a listener shows all its certificates: clients get the one that they can verify, of one kind the first", async () => {
  await withLab({}, async (lab) => {
    const port = freePort(), backend = lab.backend(() => new Response("ok"));
    const ec = await secret(lab, "ec", "ec.test");
    lab.apply([
      await secret(lab, "rsa", "rsa.test", undefined, { kind: "RSA", bits: 2048 }),
      ec,
      await secret(lab, "second", "second.test"),
      virtualHost("https", [route("web")]),
      destination("web", backend),
    ]);
    const shown = async (secrets: string[]) => {
      lab.apply([listener("https", port, { protocol: "HTTPS", tls: tls(secrets) })]);
      const client = await secure(lab, port, { servername: "a.test", checkServerIdentity: () => undefined });
      await client.ask(get("a.test"), /ok$/);
      const name = certificate(client).subjectaltname;
      client.socket.destroy();
      return name;
    };
    // Every client here prefers ECDSA.
    assert.equal(await shown(["rsa", "absent", "ec", "second"]), "DNS:ec.test");
    assert.equal(await shown(["second", "ec", "rsa"]), "DNS:second.test");
    assert.equal(await shown(["rsa"]), "DNS:rsa.test");
    assert.equal(await shown(["rsa", "second"]), "DNS:second.test");
    lab.apply([{ ...ec, name: "second" }]);
    assert.equal(await shown(["rsa", "second"]), "DNS:ec.test", "a further certificate that changes is shown, too");
  });
});

Deno.test("a changed secret is shown to the next client; a bad one is refused and changes nothing", async () => {
  await withLab({}, async (lab) => {
    const port = freePort(), backend = lab.backend(() => new Response("ok"));
    const first = await secret(lab, "cert", "a.test");
    lab.apply([
      first,
      listener("https", port, { protocol: "HTTPS", tls: tls(["cert"]) }),
      virtualHost("https", [route("web")]),
      destination("web", backend),
    ]);
    const kept = await secure(lab, port, { servername: "a.test" });
    const serial = certificate(kept).serialNumber;
    const rejects = lab.apply([{
      ...first,
      privateKey: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    }]);
    assert.deepEqual(rejects.map(({ name }) => name), ["secret/cert"]);
    assert.ok(!/AAAA/.test(JSON.stringify(rejects) + lab.log.lines.join("\n")));
    const same = await secure(lab, port, { servername: "a.test" });
    assert.equal(certificate(same).serialNumber, serial);
    assert.deepEqual(lab.apply([await secret(lab, "cert", "a.test")]), []);
    const next = await secure(lab, port, { servername: "a.test" });
    assert.notEqual(certificate(next).serialNumber, serial);
    for (const one of [kept, same, next]) {
      await one.ask(get("a.test"), /ok$/);
      one.socket.destroy();
    }
    lab.apply([], ["secret/cert"]);
    await assert.rejects(secure(lab, port, { servername: "a.test" }));
    assert.ok(lab.log.lines.some((line) => line.includes("no usable certificate")));
  });
});

Deno.test("MUTUAL asks clients for a certificate of the listener's authority, OPTIONAL_MUTUAL checks one that is shown", async () => {
  await withLab({}, async (lab) => {
    const port = freePort(), optional = freePort(), backend = lab.backend(() => new Response("ok"));
    const clients = await testCa(), others = await testCa();
    const pair = async (ca: typeof clients) => {
      const { chainPem, keyPem } = await ca.servingCertificate([{ dns: "client.test" }], 3600_000, EC);
      return { cert: chainPem, key: keyPem };
    };
    lab.apply([
      await secret(lab, "cert", "a.test", clients.rootPem),
      listener("mutual", port, { protocol: "HTTPS", tls: tls(["cert"], { mode: "MUTUAL" }) }),
      listener("optional", optional, { protocol: "HTTPS", tls: tls(["cert"], { mode: "OPTIONAL_MUTUAL" }) }),
      listener("nobody", freePort(), {
        protocol: "HTTPS",
        tls: tls(["cert"], { mode: "MUTUAL", caSecret: "missing" }),
      }),
      virtualHost("mutual", [route("web")]),
      virtualHost("optional", [route("web")]),
      destination("web", backend),
    ]);
    const answers = async (port: number, options: Record<string, unknown>) => {
      try {
        const client = await secure(lab, port, { servername: "a.test", maxVersion: "TLSv1.2", ...options });
        await client.ask(get("a.test"), /ok$/);
        client.socket.destroy();
        return true;
      } catch {
        return false;
      }
    };
    assert.deepEqual(
      [await answers(port, {}), await answers(port, await pair(others)), await answers(port, await pair(clients))],
      [false, false, true],
    );
    assert.deepEqual(
      [
        await answers(optional, {}),
        await answers(optional, await pair(others)),
        await answers(optional, await pair(clients)),
      ],
      [true, false, true],
    );
    const [nobody] = lab.proxy.ports.filter((open) => open !== port && open !== optional);
    assert.equal(await answers(nobody, await pair(clients)), false);
  });
});

Deno.test("TLS passes through by server name, TLS is terminated for bytes, and plain bytes are proxied", async () => {
  await withLab({}, async (lab) => {
    const through = freePort(), terminated = freePort(), raw = freePort();
    const { chainPem, keyPem } = await lab.ca.servingCertificate([{ dns: "db.test" }], 3600_000, EC);
    const behind = createTlsServer({ cert: chainPem, key: keyPem }, (socket) => {
      socket.on("error", () => {});
      socket.write("secret ");
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => behind.listen(0, "127.0.0.1", resolve));
    const echo = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const echoing = (async () => {
      for await (const connection of echo) {
        connection.readable.pipeTo(connection.writable).catch(() => {});
      }
    })();
    try {
      const bytes = (name: string) => ({ tcp: { destinations: [{ destination: name, weight: 1 }] } });
      lab.apply([
        await secret(lab, "cert", "t.test"),
        listener("through", through, { protocol: "TLS_PASSTHROUGH", hostnames: ["db.test"], ...bytes("behind") }),
        listener("terminated", terminated, { protocol: "TCP", tls: tls(["cert"]), ...bytes("echo") }),
        listener("raw", raw, { protocol: "TCP", ...bytes("echo") }),
        destination("behind", (behind.address() as { port: number }).port, { protocol: "TCP" }),
        destination("echo", echo.addr.port, { protocol: "TCP" }),
      ]);
      const one = await secure(lab, through, { servername: "db.test" });
      assert.equal(certificate(one).subjectaltname, "DNS:db.test");
      await one.ask("hello", /secret hello|hello$/);
      await assert.rejects(secure(lab, through, { servername: "other.test" }));
      const two = await secure(lab, terminated, { servername: "t.test" });
      await two.ask("inside", /^inside$/);
      const three = await plain(raw);
      await three.ask("bytes", /^bytes$/);
      for (const each of [one, two, three]) {
        each.socket.end();
        await each.ended();
      }
      await eventually(() =>
        assert.equal(
          lab.tcp.length,
          3,
          lab.tcp.map(({ runtime, outcome }) => runtime.config.name + outcome?.flag).join(),
        )
      );
      lab.apply([policy("none", { listeners: ["raw"], rules: [] })]);
      // The reset may come before the client has even connected.
      const refused = await plain(raw).catch(() => undefined);
      refused?.socket.write("x");
      assert.equal(await refused?.ended() ?? "", "");
      await eventually(() => assert.equal(lab.tcp.length, 4));
      assert.equal(lab.tcp.at(-1)!.decision.code, "no_allow_matched");
    } finally {
      echo.close();
      await echoing;
      await new Promise((resolve) => behind.close(resolve));
    }
  });
});

Deno.test("a draining gateway finishes what runs, serves latecomers once, then takes nobody", async () => {
  await withLab({}, async (lab) => {
    const port = freePort();
    const reached = Promise.withResolvers<void>(), release = Promise.withResolvers<void>();
    const backend = lab.backend(async (request) => {
      if (!request.url.endsWith("/slow")) return new Response("quick");
      reached.resolve();
      await release.promise;
      return new Response("late");
    });
    lab.apply([listener("http", port), virtualHost("http", [route("web")]), destination("web", backend)]);
    const idle = await plain(port), silent = await plain(port), busy = await plain(port);
    for (const one of [idle, silent]) await one.ask(get("a"), /quick$/);
    const slow = busy.ask(get("a", "/slow"), /late$/);
    await reached.promise;
    lab.proxy.drain();
    const late = await plain(port);
    assert.match(await late.ask(get("a"), /quick$/), /\r\nconnection: close\r\n/i);
    await late.ended();
    // Whoever kept a connection may be sending on it right now.
    assert.match(await idle.ask(get("a"), /quick$/), /\r\nconnection: close\r\n/i);
    await idle.ended();
    lab.proxy.stopListening();
    await silent.ended();
    await assert.rejects(plain(port));
    release.resolve();
    assert.match(await slow, /\r\nconnection: close\r\n/i);
    await busy.ended();
    assert.equal(lab.proxy.active, 0);
  });
});
