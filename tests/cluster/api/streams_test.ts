import assert from "node:assert/strict";
import { connect as tlsConnect } from "node:tls";
import { constants, createDeflate } from "node:zlib";
import { DICTIONARY, HeaderError } from "../../../src/cluster/api/streams/spdy/headers.ts";
import { SpdyConnection, type SpdyStream } from "../../../src/cluster/api/streams/spdy/connection.ts";
import { eventually, runningPod, TestServer } from "./support.ts";

/** A client of SPDY port-forwarding over a raw connection, as old kubectl is. */
class SpdyClient {
  readonly frames: { type: string; id: number; body: Uint8Array; flags: number }[] = [];
  readonly #socket: ReturnType<typeof tlsConnect>;
  readonly #deflate = createDeflate({ dictionary: DICTIONARY });
  head = "";

  constructor(test: TestServer, path: string, protocols = ["portforward.k8s.io"]) {
    this.#socket = tlsConnect({ host: "127.0.0.1", port: test.port, ca: test.caPem });
    this.#socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${test.server.adminToken}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n${
        protocols.map((name) => `X-Stream-Protocol-Version: ${name}\r\n`).join("")
      }\r\n`,
    );
    let pending = new Uint8Array(0);
    this.#socket.on("error", () => {});
    this.#socket.on("data", (chunk: Uint8Array) => {
      pending = new Uint8Array([...pending, ...chunk]);
      if (this.head === "" || !this.head.endsWith("\r\n\r\n")) {
        const text = new TextDecoder("latin1").decode(pending);
        const end = text.indexOf("\r\n\r\n");
        if (end < 0) return;
        this.head = text.slice(0, end + 4);
        pending = pending.slice(end + 4);
      }
      while (pending.length >= 8) {
        const view = new DataView(pending.buffer, pending.byteOffset);
        const length = view.getUint32(4) & 0xffffff;
        if (pending.length < 8 + length) break;
        const control = (pending[0] & 0x80) !== 0;
        const body = pending.slice(8, 8 + length);
        const id = control ? new DataView(body.buffer).getUint32(0) : view.getUint32(0);
        this.frames.push({
          type: control ? `control ${view.getUint16(2)}` : "data",
          id,
          body,
          flags: view.getUint8(4),
        });
        pending = pending.slice(8 + length);
      }
    });
  }

  async open(id: number, headers: Record<string, string>): Promise<void> {
    const block = await this.#compress(headers);
    const frame = new Uint8Array(18 + block.length);
    const view = new DataView(frame.buffer);
    view.setUint32(0, 0x80030001);
    view.setUint32(4, 10 + block.length);
    view.setUint32(8, id);
    frame.set(block, 18);
    this.#socket.write(frame);
  }

  data(id: number, text: string, fin = false): void {
    const body = new TextEncoder().encode(text);
    const frame = new Uint8Array(8 + body.length);
    const view = new DataView(frame.buffer);
    view.setUint32(0, id);
    view.setUint32(4, body.length);
    view.setUint8(4, fin ? 1 : 0);
    frame.set(body, 8);
    this.#socket.write(frame);
  }

  raw(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  text(id: number): string {
    return this.frames.filter((frame) => frame.type === "data" && frame.id === id).map(({ body }) =>
      new TextDecoder().decode(body)
    ).join("");
  }

  get closed(): boolean {
    return this.#socket.closed;
  }

  close(): void {
    this.#socket.destroy();
    this.#deflate.destroy();
  }

  #compress(headers: Record<string, string>): Promise<Uint8Array> {
    return compress(this.#deflate, headers);
  }
}

function compress(deflate: ReturnType<typeof createDeflate>, headers: Record<string, string>): Promise<Uint8Array> {
  const encoder = new TextEncoder();
  const bytes: number[] = [0, 0, 0, Object.keys(headers).length];
  for (const text of Object.entries(headers).flat()) bytes.push(0, 0, 0, text.length, ...encoder.encode(text));
  return new Promise((resolve) => {
    const chunks: number[] = [];
    const onData = (chunk: Uint8Array) => chunks.push(...chunk);
    deflate.on("data", onData);
    deflate.write(Uint8Array.from(bytes));
    deflate.flush(constants.Z_SYNC_FLUSH, () => {
      deflate.off("data", onData);
      resolve(Uint8Array.from(chunks));
    });
  });
}

Deno.test("port-forward over SPDY: pairs of streams, echo, failure to connect, hostile frames", async () => {
  await using test = await TestServer.start();
  runningPod(test, "p");
  const client = new SpdyClient(test, "/api/v1/namespaces/default/pods/p/portforward");
  await eventually(() => client.head.includes("101"), "the upgrade");
  await client.open(1, { streamtype: "error", port: "7", requestid: "0" });
  client.data(1, "", true);
  await client.open(3, { streamtype: "data", port: "7", requestid: "0" });
  client.data(3, "hello ");
  client.data(3, "there", true);
  await eventually(() => client.text(3) === "hello there", "the echo");
  await eventually(
    () => client.frames.some(({ type, id, flags }) => type === "data" && id === 3 && flags === 1),
    "the end",
  );
  await client.open(5, { streamtype: "error", port: "9", requestid: "1" });
  await client.open(7, { streamtype: "data", port: "9", requestid: "1" });
  await eventually(
    () => /error forwarding port 9 to pod default\/p: connection to port 9 refused/.test(client.text(5)),
    "the failure",
  );
  client.close();
  for (
    const bytes of [
      Uint8Array.of(0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff),
      Uint8Array.of(0x80, 3, 0, 1, 0, 0, 0, 2, 0, 0),
      Uint8Array.of(0x80, 3, 0, 1, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2),
    ]
  ) {
    const evil = new SpdyClient(test, "/api/v1/namespaces/default/pods/p/portforward");
    await eventually(() => evil.head.includes("101"), "the upgrade");
    evil.raw(bytes);
    await eventually(() => evil.closed, "the server to hang up");
    evil.close();
  }
  assert.equal((await test.call("GET", "/healthz")).text, "ok");
});

Deno.test("exec over SPDY: output, input, exit codes, failures to start, streams that nobody announced", async () => {
  await using test = await TestServer.start();
  runningPod(test, "p");
  const protocols = ["v4.channel.k8s.io", "v3.channel.k8s.io", "channel.k8s.io"],
    exec = "/api/v1/namespaces/default/pods/p/exec";
  const ask = (query: string) => new SpdyClient(test, `${exec}?${query}`, protocols);
  const open = async (client: SpdyClient, ...types: string[]) => {
    await eventually(() => client.head.includes("101") && client.head.includes("v4.channel.k8s.io"), "the upgrade");
    for (const [i, streamtype] of types.entries()) await client.open(2 * i + 1, { streamtype });
  };
  const ended = (client: SpdyClient, id: number) =>
    eventually(
      () => client.frames.some((frame) => frame.type === "data" && frame.id === id && frame.flags === 1),
      `end of ${id}`,
    );

  const echo = ask("command=echo&command=hi&stdout=true&stderr=true");
  await open(echo, "error", "stdout", "stderr");
  await Promise.all([1, 3, 5].map((id) => ended(echo, id)));
  assert.equal(echo.text(3), "out echo hi");
  assert.deepEqual(JSON.parse(echo.text(1)), { metadata: {}, status: "Success" });
  echo.close();

  const cat = ask("command=cat&stdin=true&stdout=true");
  await open(cat, "error", "stdin", "nonsense", "stdout");
  await eventually(
    () => cat.frames.some(({ type, id }) => type === "control 3" && id === 5),
    "the stream that is none to be reset",
  );
  cat.data(3, "some ");
  cat.data(3, "words", true);
  await ended(cat, 1);
  assert.equal(cat.text(7), "some words");
  cat.close();

  const codes: [string, RegExp][] = [["command=exit&command=4", /"ExitCode","message":"4"/], [
    "command=missing",
    /not found in \$PATH/,
  ]];
  for (const [query, status] of codes) {
    const client = ask(`${query}&stdout=true`);
    await open(client, "error", "stdout");
    await ended(client, 1);
    assert.match(client.text(1), status);
    client.close();
  }

  const old = new SpdyClient(test, `${exec}?command=x&stdout=true`, ["channel.k8s.io"]);
  await eventually(() => old.head.includes("400"), "the refusal");
  old.close();
});

Deno.test("SpdyConnection refuses frames and header blocks that are none", async () => {
  const streams: SpdyStream[] = [];
  const make = () => new SpdyConnection(() => Promise.resolve(), (stream) => streams.push(stream));
  for (const bytes of [[0x80, 3, 0, 1, 0, 0x20, 0, 0], [0x80, 3, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1]]) {
    const connection = make();
    await assert.rejects(connection.feed(Uint8Array.from(bytes)), HeaderError);
    connection.close();
  }
  const quiet = make();
  await quiet.feed(Uint8Array.of(0, 0, 0, 9, 0, 0, 0, 1, 65)); // data of a stream that was never opened
  quiet.close();
  assert.deepEqual(streams, []);
});

Deno.test("upgrades that make no sense get a Status", async () => {
  await using test = await TestServer.start();
  runningPod(test, "p");
  const upgrade = (path: string, protocols: string, protocol = "websocket") =>
    new Promise<string>((resolve) => {
      const socket = tlsConnect({ host: "127.0.0.1", port: test.port, ca: test.caPem });
      let text = "";
      socket.on("data", (chunk) => text += chunk);
      socket.on("close", () => resolve(text));
      socket.on("error", () => {});
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${test.server.adminToken}\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: ${protocols}\r\n\r\n`,
      );
    });
  const pod = "/api/v1/namespaces/default/pods/p";
  assert.match(await upgrade(`${pod}/exec?stdout=true`, "v5.channel.k8s.io"), /400 .*at least 1 command/s);
  assert.match(await upgrade(`${pod}/exec?command=x`, "v5.channel.k8s.io"), /at least 1 of stdin, stdout, stderr/);
  assert.match(await upgrade(`${pod}/exec?command=x&stdout=true`, "bogus"), /none of the protocols bogus is served/);
  assert.match(
    await upgrade(`${pod}/exec?command=x&stdout=true&container=nope`, "v5.channel.k8s.io"),
    /container nope is not valid/,
  );
  assert.match(
    await upgrade(`${pod}x/exec?command=x&stdout=true`, "v5.channel.k8s.io"),
    /404 .*pods \\"px\\" not found/s,
  );
  assert.match(await upgrade(`${pod}/portforward?ports=99999`, "v4.channel.k8s.io"), /unable to parse/);
  assert.match(await upgrade(`${pod}/portforward`, "x", "h2c"), /unable to upgrade/);
  assert.match(await upgrade(`${pod}/exec?command=x&stdout=true`, "x", "h2c"), /unable to upgrade/);
  assert.match(await upgrade("/api/v1/pods", "v5.channel.k8s.io"), /this resource has no streams/);
  assert.equal((await test.call("GET", `${pod}/exec?command=x&stdout=true`)).code, 400);
});
