import assert from "node:assert/strict";
import { PROGRAMS } from "../../src/cluster/programs/mod.ts";
import { productPage } from "../../src/cluster/programs/bookinfo/page.ts";
import { inspect, type WiretapSummary } from "../../src/cluster/programs/wiretap.ts";

/** A port that nothing listens on at this moment. */
function freePort(): number {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}

/** Runs programs, each on a port of its own, with the others' addresses in their environment. */
async function withPrograms(
  programs: Record<string, string[]>,
  work: (url: (name: string) => string) => Promise<void>,
): Promise<void> {
  const ports = Object.fromEntries(Object.keys(programs).map((name) => [name, freePort()]));
  const stop = new AbortController();
  const env = (name: string) => {
    const service = /^(\w+)_SERVICE_PORT_HTTP$/.exec(name)?.[1].toLowerCase();
    if (service && ports[service]) return String(ports[service]);
    return /_HOSTNAME$/.test(name) ? "127.0.0.1" : name === "HOSTNAME" ? "reviews-v3-abc" : undefined;
  };
  const running = Object.entries(programs).map(async ([name, args]) => {
    const program = await PROGRAMS[name]();
    return await program({ args: [...args, "--port", String(ports[name])], env, signal: stop.signal });
  });
  const url = (name: string) => `http://127.0.0.1:${ports[name]}`;
  try {
    for (const name of Object.keys(programs)) {
      for (let i = 0; i < 200; i++) {
        const up = await fetch(url(name) + "/health").then((r) => r.body?.cancel().then(() => true), () => false);
        if (up) break;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
    await work(url);
  } finally {
    stop.abort();
    assert.deepEqual(await Promise.all(running), Object.keys(programs).map(() => 0));
  }
}

const get = async (url: string, init?: RequestInit) => {
  const response = await fetch(url, { redirect: "manual", ...init });
  return { status: response.status, headers: response.headers, text: await response.text() };
};

// The programs print a line a request; fetch keeps idle connections for later.
const lenient = { sanitizeResources: false, sanitizeOps: false };

Deno.test({
  name: "Bookinfo: productpage shows details, reviews with red stars, and the pod that served them",
  ...lenient,
  fn: () =>
    withPrograms({ productpage: [], details: [], ratings: [], reviews: ["--version", "v3"] }, async (url) => {
      const page = await get(url("productpage") + "/productpage");
      assert.equal(page.status, 200);
      for (
        const part of [
          "<title>Simple Bookstore App</title>",
          "Reviews served by: reviews-v3-abc",
          'class="stars red"',
          "★★★★☆",
          "PublisherA",
        ]
      ) {
        assert.ok(page.text.includes(part), part);
      }
      assert.match((await get(url("productpage") + "/")).text, /<title>Simple Bookstore App<\/title>/);
      assert.equal((await get(url("productpage") + "/productpage", { method: "DELETE" })).status, 405);
      assert.equal((await get(url("productpage") + "/nothing")).status, 404);
      const metrics = await get(url("productpage") + "/metrics");
      assert.match(metrics.text, /^request_result_total\{destination_app="reviews",response_code="200"\} 1$/m);
      assert.deepEqual(JSON.parse((await get(url("productpage") + "/api/v1/products/0/ratings")).text), {
        id: 0,
        ratings: { Reviewer1: 5, Reviewer2: 4 },
      });
      const signIn = await get(url("productpage") + "/login", {
        method: "POST",
        body: new URLSearchParams({ username: "jason" }),
      });
      assert.equal(signIn.status, 302);
      assert.match(signIn.headers.get("set-cookie")!, /^session=jason;.*HttpOnly/);
      const signedIn = await get(url("productpage") + "/productpage", { headers: { cookie: "session=jason" } });
      assert.match(signedIn.text, /jason.*Sign out/s);
    }),
});

Deno.test({
  name: "Bookinfo: the page stays up and says what is missing when services do not answer",
  ...lenient,
  fn: () =>
    withPrograms({ productpage: [] }, async (url) => {
      const page = await get(url("productpage") + "/productpage");
      assert.equal(page.status, 200);
      assert.match(page.text, /product details are currently unavailable/);
      assert.match(page.text, /product reviews are currently unavailable/);
    }),
});

Deno.test({
  name: "Bookinfo: ratings keeps what is posted and refuses what is not ratings",
  ...lenient,
  fn: () =>
    withPrograms({ ratings: [] }, async (url) => {
      const post = (body: string) => get(url("ratings") + "/ratings/7", { method: "POST", body });
      assert.equal((await post('{"Reviewer1":2}')).status, 200);
      assert.deepEqual(JSON.parse((await get(url("ratings") + "/ratings/7")).text).ratings, { Reviewer1: 2 });
      for (const bad of ["", "[]", '{"a":"b"}', "{", "1".repeat(5000)]) {
        assert.equal((await post(bad)).status, 400, bad.slice(0, 9));
      }
      assert.equal((await get(url("ratings") + "/ratings/x")).status, 400);
    }),
});

Deno.test("productPage() escapes whatever a service answers", () => {
  const page = productPage({
    user: "<script>",
    servedBy: "pod",
    details: { type: "<b>" },
    reviews: { podname: "<i>", reviews: [{ reviewer: '"', text: "</p><script>", rating: { error: "<u>" } }] },
  });
  assert.ok(!/<script>|<b>|<i>|<u>/.test(page));
});

Deno.test({
  name: "httpbin tells what it received and answers as asked",
  ...lenient,
  fn: () =>
    withPrograms({ httpbin: [] }, async (url) => {
      const headers = JSON.parse((await get(url("httpbin") + "/headers", { headers: { "x-a": "b" } })).text).headers;
      assert.equal(headers["X-A"], "b");
      assert.equal((await get(url("httpbin") + "/status/418")).status, 418);
      assert.equal((await get(url("httpbin") + "/status/9999")).status, 400);
      assert.equal((await get(url("httpbin") + "/post")).status, 405);
      assert.deepEqual(
        JSON.parse((await get(url("httpbin") + "/post", { method: "POST", body: '{"a":1}' })).text).json,
        { a: 1 },
      );
      assert.equal((await get(url("httpbin") + "/bytes/1000")).text.length, 1000);
    }),
});

function frame(source: number, destination: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(54 + payload.length);
  bytes.set([0x08, 0x00], 12);
  bytes[14] = 0x45;
  bytes.set([(40 + payload.length) >> 8, (40 + payload.length) & 255], 16);
  bytes[23] = 6;
  bytes.set([source >> 8, source & 255, destination >> 8, destination & 255], 34);
  bytes[46] = 0x50;
  bytes.set(payload, 54);
  return bytes;
}

Deno.test("the wiretap tells TLS on 15008 from readable text, and survives broken frames", () => {
  const summary: WiretapSummary = { hboneSegments: 0, tlsRecords: 0, otherPorts: {}, plainText: 0 };
  const text = new TextEncoder().encode("Simple Bookstore");
  inspect(frame(40000, 15008, Uint8Array.of(0x17, 3, 3, 0, 1, 9)), [text], summary);
  inspect(frame(15008, 40000, text), [text], summary);
  inspect(frame(9080, 40000, text), [text], summary);
  inspect(frame(9080, 40000, new Uint8Array(0)), [text], summary);
  assert.deepEqual(summary, { hboneSegments: 2, tlsRecords: 1, otherPorts: { 9080: 1 }, plainText: 2 });
  const whole = frame(9080, 1, text);
  for (let length = 0; length < whole.length; length++) inspect(whole.subarray(0, length), [text], summary);
  for (let i = 0; i < 2000; i++) inspect(crypto.getRandomValues(new Uint8Array(80)), [text], summary);
});

/** What a program prints while `work` runs. */
async function printed(work: () => Promise<unknown>): Promise<string> {
  const { log } = console;
  const lines: string[] = [];
  console.log = (line: string) => void lines.push(String(line));
  try {
    await work();
  } finally {
    console.log = log;
  }
  return lines.join("\n");
}

Deno.test({
  name: "fortio: load counts codes, grpcping reaches a server, an unknown flag is refused",
  ...lenient,
  fn: () =>
    withPrograms({ httpbin: [] }, async (url) => {
      const fortio = await PROGRAMS.fortio();
      const env = () => undefined, { signal } = new AbortController();
      const run = (...args: string[]) => fortio({ args, env, signal });
      const target = url("httpbin");
      const ok = await printed(() =>
        run("load", "-c", "3", "-qps", "0", "-n", "30", "-loglevel", "Warning", `${target}/get`)
      );
      assert.match(ok, /^Code 200 : 30 \(100\.0 %\)$/m);
      assert.match(ok, /^All done 30 calls/m);
      const busy = await printed(() => run("load", "-n=4", "-c=2", "-quiet", `${target}/status/503`));
      assert.match(busy, /^Code 503 : 4 \(100\.0 %\)$/m);
      const dead = await printed(() => run("load", "-n", "2", "-c", "1", `http://127.0.0.1:${freePort()}/`));
      assert.match(dead, /^Code +-1 : 2 \(100\.0 %\)$/m);
      assert.equal(await run("load", "--wrong", "x"), 2);

      const ports = { http: freePort(), grpc: freePort() }, stop = new AbortController();
      const args = ["server", "-http-port", String(ports.http), "-grpc-port", String(ports.grpc)];
      const serving = fortio({ args, env, signal: stop.signal });
      const ping = await printed(() => run("grpcping", "-n", "3", `127.0.0.1:${ports.grpc}`));
      assert.match(ping, /^Ping SERVING : 3$/m);
      const refused = await printed(() => run("grpcping", `127.0.0.1:${freePort()}`));
      assert.match(refused, /^Ping (UNAVAILABLE|DEADLINE_EXCEEDED) : 1$/m);
      const socket = new WebSocket(`ws://127.0.0.1:${ports.http}/`);
      const messages: string[] = [];
      await new Promise<void>((resolve) => {
        socket.onmessage = ({ data }) => messages.push(data) === 1 ? socket.send("hi") : resolve();
      });
      assert.match(messages[0], /^Request served by/);
      assert.equal(messages[1], "hi");
      socket.close();
      stop.abort();
      assert.equal(await serving, 0);
    }),
});

Deno.test({
  name: "httpbin: drip, cookies, basic-auth and the teapot",
  ...lenient,
  fn: () =>
    withPrograms({ httpbin: [] }, async (url) => {
      const drip = await get(url("httpbin") + "/drip?numbytes=5&duration=0.1");
      assert.deepEqual([drip.headers.get("content-length"), drip.text], ["5", "*****"]);
      const cookies = await get(url("httpbin") + "/cookies", { headers: { cookie: "a=1; b=x=y" } });
      assert.deepEqual(JSON.parse(cookies.text), { cookies: { a: "1", b: "x=y" } });
      assert.equal((await get(url("httpbin") + "/basic-auth/u/p")).status, 401);
      const headers = { authorization: `Basic ${btoa("u:p")}` };
      assert.equal((await get(url("httpbin") + "/basic-auth/u/p", { headers })).status, 200);
      assert.match((await get(url("httpbin") + "/status/418")).text, /teapot/);
    }),
});
