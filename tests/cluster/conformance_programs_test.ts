import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { credentials, makeGenericClientConstructor } from "@grpc/grpc-js";
import { unary } from "../../src/cluster/programs/conformance/grpc.ts";
import { canonicalName, field, headerLists, joined, textOf } from "../../src/cluster/programs/conformance/wire.ts";
import { PROGRAMS } from "../../src/cluster/programs/mod.ts";

function freePort(): number {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  return (listener.addr as Deno.NetAddr).port;
}

/** Runs a program until the work is done; what it and the work print is kept. */
async function running(
  name: string,
  args: string[],
  env: Record<string, string>,
  port: number,
  work: () => Promise<void>,
): Promise<void> {
  const stop = new AbortController(), { log } = console;
  console.log = () => {};
  try {
    const ended = (await PROGRAMS[name]())({ args, env: (key) => env[key], signal: stop.signal });
    try {
      const deadline = Date.now() + 10_000;
      for (;;) {
        const up = await Deno.connect({ port }).then((conn) => (conn.close(), true), () => false);
        if (up) break;
        assert.ok(Date.now() < deadline, `${name} listens`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await work();
    } finally {
      stop.abort();
      assert.equal(await ended, 0);
    }
  } finally {
    console.log = log;
  }
}

const lenient = { sanitizeResources: false, sanitizeOps: false };

Deno.test("the suite's programs: header names as Go has them, messages of protocol buffers", () => {
  const names = [["x-request-id", "X-Request-Id"], ["ETAG", "Etag"], ["a b", "a b"], ["x--y", "X--Y"], ["", ""]];
  for (const [name, canonical] of names) assert.equal(canonicalName(name), canonical);
  const pairs = [["host", "a"], [":path", "/"], ["x-b", "1"], ["X-A", "2"], ["x-B", "3"]] as const;
  assert.deepEqual([...headerLists(pairs)], [["X-A", ["2"]], ["X-B", ["1", "3"]]]);
  const long = "x".repeat(300), message = joined(field(2, "no"), field(1, ""), field(1, long));
  assert.equal(textOf(message, 1), long);
  assert.deepEqual([...field(1, "hi")], [10, 2, 104, 105]);
  for (const bytes of [[], [255], [10], [10, 200], [11, 1], [8], [8, 255, 255, 255, 255, 255, 255, 1]]) {
    assert.equal(textOf(Uint8Array.from(bytes), 3), "");
  }
});

Deno.test({
  name: "echo-basic: tells the request, sets headers, delays, fails some times, speaks h2c and WebSocket",
  ...lenient,
  fn: async () => {
    const [port, h2c] = [freePort(), freePort()];
    const env = { HTTP_PORT: `${port}`, H2C_PORT: `${h2c}`, POD_NAME: "p", NAMESPACE: "n", SERVICE_NAME: "s" };
    await running("echo-basic", [], env, port, async () => {
      const url = `http://127.0.0.1:${port}`;
      const told = await (await fetch(`${url}/a//b?x=1`, {
        headers: { "x-some": "y", "x-echo-set-header": "X-A: 1, X-A:2,:,X-b:3" },
      }))
        .json();
      const { path, host, method, proto, namespace, pod, service, ingress, httpPort, headers } = told;
      assert.deepEqual(
        { path, host, method, proto, namespace, pod, service, ingress, httpPort, some: headers["X-Some"] },
        {
          path: "/a//b?x=1",
          host: `127.0.0.1:${port}`,
          method: "GET",
          proto: "HTTP/1.1",
          namespace: "n",
          pod: "p",
          service: "s",
          ingress: "",
          httpPort: `${port}`,
          some: ["y"],
        },
      );
      const answer = await fetch(`${url}/`, { headers: { "x-echo-set-header": "X-A: 1, X-A:2,X-b:3" } });
      assert.deepEqual([answer.headers.get("x-a"), answer.headers.get("x-b")], ["1,2", "3"]);
      await answer.body?.cancel();
      const code = async (path: string) => {
        const { status, body } = await fetch(url + path);
        await body?.cancel();
        return status;
      };
      assert.equal(await code("/health"), 200);
      assert.equal(await code("/status/418"), 418);
      assert.equal(await code("/status/x"), 400);
      assert.equal(await code("/?delay=nonsense"), 500);
      assert.equal(await code("/?delay=1ms"), 200);
      assert.equal(await code("/retry/x"), 400);
      const retries = "/retry/x?uuid=1&succeedAfter=2&responseCode=503";
      assert.deepEqual([await code(retries), await code(retries), await code(retries)], [503, 503, 200]);
      // By hand: fetch tries once more when a connection that it kept is reset.
      const reset = await new Promise<string>((resolve) => {
        let text = "";
        const socket = connect(
          port,
          "127.0.0.1",
          () => socket.write("GET /retry/x?uuid=2&succeedAfter=1 HTTP/1.1\r\nhost: x\r\n\r\n"),
        );
        socket.on("data", (chunk) => text += chunk).on("error", () => {}).on("close", () => resolve(text));
      });
      assert.equal(reset, "");
      assert.equal(await code("/retry/x?uuid=2&succeedAfter=1"), 200);

      const session = connectHttp2(`http://127.0.0.1:${h2c}`);
      const stream = session.request({ ":path": "/two", "x-some": "y" });
      let text = "";
      for await (const chunk of stream.setEncoding("utf8")) text += chunk;
      session.close();
      const two = JSON.parse(text);
      assert.deepEqual([two.path, two.proto, two.headers["X-Some"]], ["/two", "HTTP/2.0", ["y"]]);
      assert.equal(two.host, `127.0.0.1:${h2c}`);

      const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
      const replies: unknown[] = [];
      socket.binaryType = "arraybuffer";
      await new Promise<void>((resolve, reject) => {
        socket.onerror = reject;
        socket.onopen = () => socket.send("hello");
        socket.onmessage = ({ data }) => {
          replies.push(data);
          if (replies.length === 1) socket.send(Uint8Array.of(1, 2));
          else resolve();
        };
      });
      assert.equal(replies[0], "hello");
      assert.deepEqual([...new Uint8Array(replies[1] as ArrayBuffer)], [1, 2]);
      const closed = new Promise((resolve) => socket.onclose = resolve);
      socket.close();
      await closed;
    });
  },
});

Deno.test({
  name: "echo-basic with TLS tells version and server name; with GRPC_ECHO_SERVER it is the suite's service",
  ...lenient,
  fn: async () => {
    const { newSelfSignedCa } = await import("../../src/identity/ca_material.ts");
    const ca = await newSelfSignedCa({
      trustDomain: "x",
      ttlMs: 60_000,
      key: { kind: "EC", curve: "P-256" },
      now: Date.now(),
    });
    const [cert, key] = [await Deno.makeTempFile(), await Deno.makeTempFile()];
    await Deno.writeTextFile(cert, ca.certPem);
    await Deno.writeTextFile(key, ca.keyPem);
    const [port, tls] = [freePort(), freePort()];
    const env = {
      HTTP_PORT: `${port}`,
      H2C_PORT: `${freePort()}`,
      HTTPS_PORT: `${tls}`,
      TLS_SERVER_CERT: cert,
      TLS_SERVER_PRIVKEY: key,
    };
    await running("echo-basic", [], env, tls, async () => {
      const { request } = await import("node:https");
      const told = await new Promise<any>((resolve, reject) => {
        const call = request({
          port: tls,
          host: "127.0.0.1",
          servername: "a.example",
          rejectUnauthorized: false,
          agent: false,
          path: "/t",
        }, (response) => {
          let text = "";
          response.setEncoding("utf8").on("data", (chunk) => text += chunk).on("end", () => resolve(JSON.parse(text)));
        });
        call.on("error", reject);
        call.end();
      });
      assert.equal(told.tls.version, "TLSv1.3");
    });
    const grpc = freePort();
    await running("echo-basic", [], { GRPC_ECHO_SERVER: "1", HTTP_PORT: `${grpc}`, POD_NAME: "g" }, grpc, async () => {
      const service = "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho", method = unary(`${service}/EchoTwo`);
      const Client = makeGenericClientConstructor({ echo: method }, "GrpcEcho");
      const caller = new Client(`127.0.0.1:${grpc}`, credentials.createInsecure());
      const call = (path: string) =>
        new Promise<{ code: number; bytes?: Uint8Array }>((resolve) =>
          caller.makeUnaryRequest(
            path,
            method.requestSerialize,
            method.responseDeserialize,
            new Uint8Array(0),
            (error: any, bytes?: Uint8Array) => resolve({ code: error?.code ?? 0, bytes }),
          )
        );
      const { code, bytes } = await call(method.path);
      assert.equal(code, 0);
      assert.equal(new TextDecoder().decode(bytes).includes(`${service}/EchoTwo`), true);
      assert.equal((await call(`${service}/EchoThree`)).code, 12);
      caller.close();
    });
    await Promise.all([cert, key].map((file) => Deno.remove(file)));
  },
});

Deno.test({
  name: "echo-advanced and its client: fields, codes, headers, several calls, gRPC, mistakes",
  ...lenient,
  fn: async () => {
    const [port, grpc, tcp, tls] = [freePort(), freePort(), freePort(), freePort()];
    const args = [
      `--port=${port}`,
      "--grpc",
      `${grpc}`,
      `--tcp=${tcp}`,
      `--port=${tls}`,
      `--tls=${tls}`,
      "--version=v7",
      "--crt=/x",
    ];
    const client = async (...args: string[]) => {
      const lines: string[] = [], { log, error } = console;
      console.log = console.error = (line: string) => void lines.push(line);
      try {
        const code = await (await PROGRAMS["echo-client"]())({
          args,
          env: () => undefined,
          signal: new AbortController().signal,
        });
        return { code, text: lines.join("\n") + "\n" };
      } finally {
        console.log = log;
        console.error = error;
      }
    };
    await running("echo-advanced", args, { HOSTNAME: "echo-pod" }, tcp, async () => {
      const { code, text } = await client(
        `http://127.0.0.1:${port}/p?codes=418&headers=x-a:b`,
        "--method=PUT",
        "-H",
        "some:thing",
        "--count=3",
      );
      assert.equal(code, 0);
      const answers = text.split("\n\n").filter((part) => part.trim() !== "");
      assert.equal(answers.length, 3);
      for (const line of ["StatusCode=418", "ResponseHeader=X-A:b", "Header=some:thing"]) {
        assert.ok(answers[1].includes(`[1] ${line}\n`), line);
      }
      const body = [
        "ServiceVersion=v7",
        `ServicePort=${port}`,
        "Method=PUT",
        "URL=/p?codes=418&headers=x-a:b",
        "RequestHeader=Some:thing",
        "Hostname=echo-pod",
      ];
      for (const line of body) assert.ok(`${answers[2]}\n`.includes(`[2 body] ${line}\n`), line);

      const secure = await client(`https://127.0.0.1:${tls}/`);
      assert.match(secure.text, /StatusCode=200/);
      const called = await client(`grpc://127.0.0.1:${grpc}`, "-H", "some:thing", "--msg", "hey");
      assert.equal(called.code, 0);
      for (
        const line of [
          "StatusCode=200",
          "RequestHeader=some:thing",
          "Echo=hey",
          "Hostname=echo-pod",
          `Host=127.0.0.1:${grpc}`,
        ]
      ) {
        assert.ok(called.text.includes(`[0 body] ${line}\n`), line);
      }
      const echoed = await new Promise<string>((resolve, reject) => {
        const socket = connect(tcp, "127.0.0.1", () => socket.write("ping"));
        socket.on("error", reject).on("data", (chunk) => (socket.destroy(), resolve(String(chunk))));
      });
      assert.equal(echoed, "ping");
      for (
        const args of [[], ["a", "b"], ["a", "--nope", "1"], ["a", "-H"], ["a", "-H", "x"], ["ftp://a"], [
          `127.0.0.1:${freePort()}`,
        ]]
      ) {
        assert.equal((await client(...args)).code, 255, args.join(" "));
      }
    });
  },
});
