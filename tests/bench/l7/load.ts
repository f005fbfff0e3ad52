// Load that wrk and h2load do not make: `load.ts hbone|qps|hold …`; prints one JSON object.

import { HbonePool } from "../../../src/hbone/mod.ts";
import type { WorkloadCertificate } from "../../../src/identity/types.ts";
import { connectTcp, type Endpoint, type Pollable, Reactor, type Tap, tap } from "../../../src/net/mod.ts";
import { EPOLLIN } from "../../../src/sys/constants.ts";
import { libc } from "../../../src/sys/libc.ts";
import { allocate, BASE, U8, writeSize } from "../../../src/sys/memory.ts";
import { Latencies } from "../latencies.ts";
import { SERVICE } from "./scenario.ts";

const reactor = new Reactor();
reactor.start();
const after = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** One connection on which GET requests follow each other. */
class Getter {
  readonly #tap: Tap;
  readonly #request: Uint8Array;
  #sent = 0;
  /** How much of CRLFCRLF has been seen. */
  #matched = 0;
  #head = "";
  #bodyLeft = -1;

  constructor(end: Endpoint, path: string, readonly latencies: Latencies, readonly onAnswer: (one: Getter) => void) {
    this.#request = new TextEncoder().encode(
      `GET ${path} HTTP/1.1\r\nhost: ${SERVICE.hostname}\r\nuser-agent: bench\r\naccept: */*\r\n\r\n`,
    );
    this.#tap = tap(end, {
      onData: (bytes) => this.#take(bytes),
      onEnd: () => this.#lost(),
      onAbort: () => this.#lost(),
    });
  }

  /** @param due when the request should have gone out */
  get(due: number): void {
    this.#sent = due;
    this.#tap.write(this.#request);
  }

  #lost(): never {
    console.error("a connection of the load generator ended");
    Deno.exit(1);
  }

  #take(bytes: Uint8Array): void {
    let at = 0;
    while (this.#bodyLeft < 0 && at < bytes.length) {
      const code = bytes[at++];
      this.#head += String.fromCharCode(code);
      if (code !== (this.#matched % 2 === 0 ? 0x0d : 0x0a)) this.#matched = code === 0x0d ? 1 : 0;
      else if (++this.#matched === 4) this.#endHead();
    }
    if (this.#bodyLeft < 0) return;
    this.#bodyLeft -= bytes.length - at;
    if (this.#bodyLeft > 0) return;
    this.#bodyLeft = -1;
    this.latencies.add((performance.now() - this.#sent) * 1000);
    this.onAnswer(this);
  }

  #endHead(): void {
    if (!this.#head.startsWith("HTTP/1.1 200")) {
      console.error(`not 200: ${this.#head}`);
      Deno.exit(1);
    }
    this.#matched = 0;
    this.#bodyLeft = Number(/content-length: *(\d+)/i.exec(this.#head)?.[1]);
    this.#head = "";
  }
}

function connect(port: number): Promise<Endpoint> {
  return new Promise((resolve, reject) => {
    const options = { address: "127.0.0.1", port, timeoutMs: 20_000 };
    connectTcp(reactor, options, (error, socket) => error ? reject(error) : resolve(socket!));
  });
}

/** Makes tunnels on one connection, whose ends have the certificate that `file` holds. */
async function tunnels(file: string, port: number): Promise<() => Promise<Endpoint>> {
  const certificate: WorkloadCertificate = JSON.parse(await Deno.readTextFile(file));
  const pool = new HbonePool({ reactor });
  return () =>
    new Promise((resolve, reject) =>
      pool.connect({
        certificate,
        address: "127.0.0.1",
        port,
        expectedIds: [certificate.id],
        authority: `${SERVICE.address}:${SERVICE.port}`,
        headers: [["baggage", "k8s.cluster.name=Kubernetes,k8s.namespace.name=bench,k8s.pod.name=client"]],
      }, (error, stream) => error ? reject(error) : resolve(stream!))
    );
}

/** Closed loop over tunnels: `hbone <certificate.json> <port> <tunnels> <ms> <path>`. */
async function hbone(file: string, port: number, count: number, ms: number, path: string) {
  const open = await tunnels(file, port), latencies = new Latencies();
  for (let i = 0; i < count; i++) {
    new Getter(await open(), path, latencies, (one) => one.get(performance.now())).get(performance.now());
  }
  return await measure(latencies, 500, ms);
}

async function measure(latencies: Latencies, warmMs: number, ms: number) {
  await after(warmMs);
  latencies.clear();
  const start = performance.now();
  await after(ms);
  const { count } = latencies;
  return {
    count,
    rps: count / (performance.now() - start) * 1000,
    p50: latencies.quantile(0.5),
    p99: latencies.quantile(0.99),
  };
}

/** An even rate, whatever the answers take: `qps <port> <per second> <ms> <path> [<certificate.json>]`; in tunnels with a certificate. */
async function qps(port: number, rate: number, ms: number, path: string, file?: string) {
  const latencies = new Latencies();
  const open = file === undefined ? () => connect(port) : await tunnels(file, port);
  const free: Getter[] = [];
  for (let i = 0; i < 32; i++) free.push(new Getter(await open(), path, latencies, (one) => free.push(one)));
  const fd = libc.timerfd_create(1, 0x800 | 0x80000);
  const spec = allocate(64);
  U8.fill(0, spec, spec + 32);
  writeSize(spec + 8, 1e9 / rate);
  writeSize(spec + 24, 1e9 / rate);
  libc.timerfd_settime(fd, 0, BASE + spec, 0);
  let missed = 0;
  const pacer: Pollable = {
    slot: -1,
    onEvents() {
      libc.read(fd, BASE + spec + 32, 8);
      const now = performance.now();
      for (let ticks = U8[spec + 32]; ticks > 0; ticks--) {
        const one = free.shift();
        if (one) one.get(now);
        else missed++;
      }
    },
    onReactorStop() {},
  };
  reactor.register(pacer, fd, EPOLLIN);
  return { ...await measure(latencies, 1000, ms), missed };
}

/** Opens connections, has one answer on each, says so, and holds them until stdin closes: `hold <port> <connections> <path>`. */
async function hold(port: number, count: number, path: string) {
  const latencies = new Latencies();
  for (let i = 0; i < count; i++) new Getter(await connect(port), path, latencies, () => {}).get(performance.now());
  while (latencies.count < count) await after(10);
  console.log("holding");
  await new Response(Deno.stdin.readable).arrayBuffer();
  return { count };
}

const [mode, ...args] = Deno.args;
const run: Record<string, () => Promise<unknown>> = {
  hbone: () => hbone(args[0], Number(args[1]), Number(args[2]), Number(args[3]), args[4]),
  qps: () => qps(Number(args[0]), Number(args[1]), Number(args[2]), args[3], args[4]),
  hold: () => hold(Number(args[0]), Number(args[1]), args[2]),
};
console.log(JSON.stringify(await run[mode]()));
Deno.exit(0);
