// Load for the bench, on the project's own sockets: `load.ts serve`, or a client that prints one JSON object.

import { libc } from "../../src/sys/libc.ts";
import { allocate, BASE, U8, writeSize } from "../../src/sys/memory.ts";
import { EPOLLIN } from "../../src/sys/constants.ts";
import { connectTcp, Endpoint, listenTcp, type Pollable, Reactor, type TcpSocket } from "../../src/net/mod.ts";
import { BATCH, PLAIN } from "../../src/net/buffers.ts";
import { Latencies } from "./latencies.ts";
import { ECHO_PORT, SERVER_IP, SINK_PORT, SOURCE_PORT } from "./lab.ts";

const [mode, ...numbers] = Deno.args;
const [a, b] = numbers.map(Number);
const MESSAGE = 64;
const reactor = new Reactor();
reactor.start();

/** Code as one end of a socket, without the views that a Tap makes. */
abstract class End extends Endpoint {
  constructor(readonly socket: TcpSocket) {
    super();
    this.partner = socket;
    socket.partner = this;
    socket.monitor = this as never;
  }
  begin(): void {
    this.resume();
    this.socket.resume();
  }
  override prepare(): number {
    this.roomAt = PLAIN;
    return BATCH;
  }
  send(bytes: number): void {
    if (this.socket.prepare() > 0) this.socket.commit(bytes);
  }
  override push(): void {}
  override write(): void {}
  override get queued(): number {
    return 0;
  }
  override finish(): void {
    this.socket.finish();
  }
  override finishAll(): void {}
  override abort(): void {}
  override resume(): void {}
  override consumed(): void {}
  override close(): void {}
  onEndpointDone(_end: Endpoint, error: Error | null): void {
    if (error === null || error.message.includes("given up") || mode === "serve") return;
    console.error(`a connection of the load generator failed: ${error.message}`);
    Deno.exit(1);
  }
}

class Echo extends End {
  override commit(bytes: number): void {
    this.send(bytes); // what was read lies where send() sends from
  }
}

class Sink extends End {
  total = 0;
  override commit(bytes: number): void {
    this.total += bytes;
  }
  override finish(): void {
    this.send(1);
    this.socket.finish();
  }
}

/** Sends for ever. */
class Source extends End {
  #wanted = false;
  override commit(): void {
    this.#wanted = true;
    this.resume();
  }
  override resume(): void {
    if (!this.#wanted) return;
    for (let i = 0; i < 4 && this.socket.prepare() > 0; i++) this.socket.commit(BATCH);
    if (this.socket.open && this.socket.queued === 0) reactor.again({ run: () => this.resume() });
  }
}

function serve(): void {
  listenTcp(reactor, { address: "0.0.0.0", port: ECHO_PORT }, (socket) => new Echo(socket).begin());
  listenTcp(reactor, { address: "0.0.0.0", port: SINK_PORT }, (socket) => new Sink(socket).begin());
  listenTcp(reactor, { address: "0.0.0.0", port: SOURCE_PORT }, (socket) => new Source(socket).begin());
  console.log("ready");
}

function connect(port: number): Promise<TcpSocket> {
  return new Promise((resolve, reject) =>
    connectTcp(
      reactor,
      { address: SERVER_IP, port, timeoutMs: 20_000 },
      (error, socket) => error ? reject(error) : resolve(socket!),
    )
  );
}

const after = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

async function up(connections: number, ms: number): Promise<number> {
  class Up extends End {
    sent = 0;
    stopped = false;
    readonly ended = Promise.withResolvers<void>();
    override resume(): void {
      if (this.stopped) return;
      for (let i = 0; i < 4 && this.socket.prepare() > 0; i++) {
        this.socket.commit(BATCH);
        this.sent += BATCH;
      }
      if (this.socket.queued === 0) reactor.again({ run: () => this.resume() });
    }
    override commit(): void {}
    override finish(): void {
      this.ended.resolve();
    }
    stop(): void {
      this.stopped = true;
      this.socket.finish();
    }
  }
  const ends = await Promise.all(Array.from({ length: connections }, async () => new Up(await connect(SINK_PORT))));
  const start = performance.now();
  for (const end of ends) end.begin();
  await after(ms);
  for (const end of ends) end.stop();
  await Promise.all(ends.map((end) => end.ended.promise));
  return ends.reduce((sum, end) => sum + end.sent, 0) / (performance.now() - start) / 1000;
}

async function down(connections: number, ms: number): Promise<number> {
  const ends = await Promise.all(Array.from({ length: connections }, async () => new Sink(await connect(SOURCE_PORT))));
  for (const end of ends) {
    end.begin();
    end.send(1);
  }
  await after(300);
  const before = ends.reduce((sum, end) => sum + end.total, 0), start = performance.now();
  await after(ms);
  const rate = (ends.reduce((sum, end) => sum + end.total, 0) - before) / (performance.now() - start) / 1000;
  for (const end of ends) end.socket.abort();
  return rate;
}

class Ping extends End {
  #at = 0;
  #got = 0;
  stopped = false;
  constructor(socket: TcpSocket, readonly latencies: Latencies) {
    super(socket);
  }
  ping(at: number): void {
    this.#at = at;
    this.#got = 0;
    this.send(MESSAGE);
  }
  get busy(): boolean {
    return this.#at !== 0;
  }
  override commit(bytes: number): void {
    this.#got += bytes;
    if (this.#got < MESSAGE) return;
    const now = performance.now();
    this.latencies.add((now - this.#at) * 1000);
    this.#at = 0;
    this.onPong(now);
  }
  onPong(now: number): void {
    if (!this.stopped) this.ping(now);
  }
  override finish(): void {
    if (this.busy) {
      console.error("a connection of the load generator was ended before its answer");
      Deno.exit(1);
    }
    super.finish();
  }
}

async function rr(connections: number, ms: number) {
  const latencies = new Latencies();
  const pings = await Promise.all(
    Array.from({ length: connections }, async () => new Ping(await connect(ECHO_PORT), latencies)),
  );
  for (const ping of pings) ping.begin();
  for (const ping of pings) ping.ping(performance.now());
  await after(500);
  latencies.clear();
  const start = performance.now();
  await after(ms);
  const rate = latencies.count / (performance.now() - start) * 1000;
  for (const ping of pings) ping.stopped = true;
  for (const ping of pings) ping.socket.abort();
  return { rate, p50: latencies.quantile(0.5), p99: latencies.quantile(0.99) };
}

/** An even rate, whatever the answers take: each latency counts from when the request was due. */
async function qps(rate: number, ms: number) {
  const latencies = new Latencies();
  class Paced extends Ping {
    override onPong(): void {
      free.push(this);
    }
  }
  const free: Paced[] = [];
  for (let i = 0; i < 16; i++) {
    const ping = new Paced(await connect(ECHO_PORT), latencies);
    ping.begin();
    free.push(ping);
  }
  const fd = libc.timerfd_create(1, 0x800 | 0x80000);
  const spec = allocate(64);
  U8.fill(0, spec, spec + 32);
  writeSize(spec + 8, 1e9 / rate);
  writeSize(spec + 24, 1e9 / rate);
  libc.timerfd_settime(fd, 0, BASE + spec, 0);
  let missed = 0, due = 0;
  const all = [...free];
  const pacer: Pollable = {
    slot: -1,
    onEvents() {
      libc.read(fd, BASE + spec + 32, 8);
      const now = performance.now();
      for (let ticks = U8[spec + 32]; ticks > 0; ticks--) {
        due++;
        const ping = free.shift();
        if (ping) ping.ping(now);
        else missed++;
      }
    },
    onReactorStop() {},
  };
  reactor.register(pacer, fd, EPOLLIN);
  await after(1000);
  latencies.clear();
  await after(ms);
  const result = { p50: latencies.quantile(0.5), p99: latencies.quantile(0.99), count: latencies.count, missed };
  reactor.unregister(pacer, fd);
  libc.close(fd);
  await after(50);
  for (const ping of all) ping.socket.abort();
  return result;
}

/** Connect, one exchange, close; eight at a time. */
async function connections(ms: number): Promise<number> {
  let count = 0, stopped = false;
  const ended = Promise.withResolvers<void>();
  let running = 8;
  const latencies = new Latencies();
  class Once extends Ping {
    override onPong(): void {
      count++;
      this.socket.close();
      if (stopped) {
        if (--running === 0) ended.resolve();
      } else next();
    }
  }
  const next = () =>
    void connectTcp(reactor, { address: SERVER_IP, port: ECHO_PORT, timeoutMs: 20_000 }, (error, socket) => {
      if (error) throw error;
      const once = new Once(socket!, latencies);
      once.begin();
      once.ping(performance.now());
    });
  const start = performance.now();
  for (let i = 0; i < 8; i++) next();
  await after(ms);
  stopped = true;
  const rate = count / (performance.now() - start) * 1000;
  await ended.promise;
  return rate;
}

/** Opens connections, says so, and holds them until stdin closes. */
async function hold(count: number): Promise<number> {
  const latencies = new Latencies();
  const pings: Ping[] = [];
  for (let i = 0; i < count; i++) {
    const ping = new Ping(await connect(ECHO_PORT), latencies);
    ping.stopped = true;
    ping.begin();
    ping.ping(performance.now());
    pings.push(ping);
  }
  while (latencies.count < count) await after(10);
  console.log("holding");
  await new Response(Deno.stdin.readable).arrayBuffer();
  for (const ping of pings) ping.socket.abort();
  return count;
}

if (mode === "serve") serve();
else {
  const run: Record<string, () => Promise<unknown>> = {
    up: () => up(a, b),
    down: () => down(a, b),
    rr: () => rr(a, b),
    qps: () => qps(a, b),
    cps: () => connections(a),
    hold: () => hold(a),
  };
  console.log(JSON.stringify(await run[mode]()));
  Deno.exit(0);
}
