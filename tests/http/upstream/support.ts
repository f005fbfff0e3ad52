// Upstream tests: builders, a handler that records, and a line protocol that stands in for HTTP where pools are the subject: the
// client says `<id> <path>`, the server answers `<id> <status>`.

import { MeshError } from "../../../src/core/errors.ts";
import { Fields } from "../../../src/http/fields.ts";
import type { HttpVersion, RequestHead, ResponseHead } from "../../../src/http/message.ts";
import type {
  ClientConnection,
  ClientConnectionOwner,
  ClientStream,
  ClientStreamHandler,
} from "../../../src/http/stream.ts";
import {
  type Attempt,
  type AttemptHandler,
  type Carrier,
  type ClientCodecs,
  Clusters,
  type ClustersOptions,
  type Host,
  type UpstreamError,
  type UpstreamRequest,
} from "../../../src/http/upstream/mod.ts";
import { Host as HostClass, type HostSpec } from "../../../src/http/upstream/host.ts";
import { DEFAULT_LIMITS, type Destination, type StaticEndpoint, type Workload } from "../../../src/model/mod.ts";
import {
  type Endpoint,
  listenTcp,
  type Reactor,
  type SocketAddress,
  tap,
  type TcpListener,
  type TcpSocket,
} from "../../../src/net/mod.ts";
import { Tap } from "../../../src/net/tap.ts";
import { PlainTransport } from "../../../src/net/plain_transport.ts";
import type { Transport, TransportConsumer } from "../../../src/net/transport.ts";
import { MeshState } from "../../../src/proxy/state/mod.ts";
import type { TlsContext } from "../../../src/net/tls_context.ts";
import { TlsEndpoint } from "../../../src/net/tls_endpoint.ts";
import { startTls } from "../../../src/net/tls_socket.ts";
import { allocate, U8, view } from "../../../src/sys/memory.ts";
import { testMaterial } from "../../hbone/support.ts";
import { memberOf, service, workload } from "../../support/model.ts";

/** A repeatable generator (mulberry32). */
export function seeded(seed = 1): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function hostSpec(address: string, extra: Partial<HostSpec> = {}): HostSpec {
  return {
    key: `${address}:80`,
    address,
    port: 80,
    workload: undefined,
    service: undefined,
    locality: undefined,
    weight: 1,
    healthy: true,
    tunnel: undefined,
    ...extra,
  };
}

export function hosts(...weights: number[]): Host[] {
  return weights.map((weight, i) => new HostClass(hostSpec(`10.0.0.${i + 1}`, { weight }), 0));
}

/** How often each host was chosen, in shares of 1. */
export function shares(among: readonly Host[], choose: () => Host | null, times = 10_000): number[] {
  const counts = new Map<Host, number>();
  for (let i = 0; i < times; i++) {
    const host = choose()!;
    counts.set(host, (counts.get(host) ?? 0) + 1);
  }
  return among.map((host) => (counts.get(host) ?? 0) / times);
}

export function destination(name: string, extra: Partial<Destination> = {}): Destination {
  return {
    kind: "destination",
    name,
    hostname: "web.default.svc.cluster.local",
    namespace: "default",
    port: 80,
    subset: "",
    endpoints: { kind: "static", endpoints: [] },
    protocol: "HTTP1",
    loadBalancer: { policy: "ROUND_ROBIN" },
    limits: DEFAULT_LIMITS,
    useWaypoint: false,
    rule: "",
    ...extra,
  };
}

export function endpoint(address: string, port: number, weight = 1): StaticEndpoint {
  return { address, port, weight };
}

export function statics(...ports: number[]): Destination["endpoints"] {
  return { kind: "static", endpoints: ports.map((port) => endpoint("127.0.0.1", port)) };
}

/** A loopback address that no other test process uses: HBONE has one port, whoever listens. */
export function loopback(last: number): string {
  return `127.${1 + Deno.pid % 250}.${(Deno.pid >> 8) % 250}.${last}`;
}

export interface Lab {
  readonly mesh: MeshState;
  readonly clusters: Clusters;
}

export async function lab(reactor: Reactor, extra: Partial<ClustersOptions> = {}): Promise<Lab> {
  const mesh = new MeshState();
  const material = await testMaterial();
  const options: ClustersOptions = {
    reactor,
    mesh,
    certificate: () => material.client,
    codecs: lineCodecs(),
    random: seeded(),
    ...extra,
  };
  return { mesh: (options.mesh as MeshState) ?? mesh, clusters: new Clusters(options) };
}

export function requestHead(path = "/", fields = new Fields(), extra: Partial<RequestHead> = {}): RequestHead {
  return {
    version: "HTTP/1.1",
    method: "GET",
    scheme: "http",
    authority: "web",
    path,
    fields,
    upgrade: "",
    contentLength: 0,
    expectContinue: false,
    ...extra,
  };
}

/** A request without a body that remembers what it was told. */
export class Recorder implements UpstreamRequest, AttemptHandler {
  readonly head: RequestHead;
  bodyEnded = true;
  downstreamVersion: HttpVersion = "HTTP/1.1";
  source: SocketAddress | null = { address: "10.9.9.9", port: 1234 };
  onBehalfOf: SocketAddress | null = null;
  originalDestination: SocketAddress | null = null;
  tried: Host[] = [];
  avoidPriorities = false;
  hash = -1;
  setCookie: string | null = null;
  readonly log: string[] = [];
  status = 0;
  error: UpstreamError | null = null;
  finished = false;
  readonly #done = Promise.withResolvers<void>();

  constructor(path = "/", fields = new Fields(), extra: Partial<RequestHead> = {}) {
    this.head = requestHead(path, fields, extra);
  }

  get done(): Promise<void> {
    return this.#done.promise;
  }

  onSent(_attempt: Attempt): void {
    this.log.push("sent");
  }
  onInformational(_attempt: Attempt, status: number): void {
    this.log.push(`informational ${status}`);
  }
  onResponse(_attempt: Attempt, head: ResponseHead, ended: boolean): void {
    this.status = head.status;
    this.log.push(`response ${head.status} ${ended}`);
  }
  onTrailers(): void {
    this.log.push("trailers");
  }
  onFailed(_attempt: Attempt, error: UpstreamError): void {
    this.error = error;
    this.log.push(`failed ${error.code}`);
    this.#done.resolve();
  }
  onFinished(_attempt: Attempt): void {
    this.finished = true;
    this.log.push("finished");
    this.#done.resolve();
  }
}

/** Sends a request and waits for its outcome. */
export async function send(clusters: Clusters, name: string, recorder = new Recorder()): Promise<[Recorder, Attempt]> {
  const attempt = clusters.get(name)!.attempt(recorder, recorder);
  attempt.begin();
  await recorder.done;
  return [recorder, attempt];
}

export function meshed(address: string, extra: Partial<Workload>): Partial<Workload> {
  return { addresses: [address], ...extra };
}

// --- the line protocol

const OUT = allocate(4096);

class LineStream implements ClientStream {
  readonly body = new Tap({ onData() {} });
  open = true;
  constructor(readonly owner: LineConnection, readonly id: number, public handler: ClientStreamHandler | null) {}
  sendTrailers(): void {}
  reset(): void {
    this.owner.ended(this, null);
    if (!this.owner.multiplexed) this.owner.abort();
  }
}

export class LineConnection implements ClientConnection, TransportConsumer {
  readonly version: HttpVersion;
  requests = 0;
  owner: ClientConnectionOwner | null = null;
  readonly #streams = new Map<number, LineStream>();
  #draining = false;
  #open = true;

  constructor(readonly transport: Transport, readonly multiplexed: boolean, readonly limit: number) {
    this.version = multiplexed ? "HTTP/2" : "HTTP/1.1";
    transport.consumer = this;
  }

  get capacity(): number {
    return this.#open && !this.#draining ? Math.max(0, this.limit - this.#streams.size) : 0;
  }
  get streams(): number {
    return this.#streams.size;
  }
  get open(): boolean {
    return this.#open;
  }

  request(head: RequestHead, _ended: boolean, handler: ClientStreamHandler): ClientStream | null {
    if (this.capacity <= 0) return null;
    const stream = new LineStream(this, ++this.requests, handler);
    this.#streams.set(stream.id, stream);
    const line = new TextEncoder().encode(`${stream.id} ${head.path}\n`);
    U8.set(line, OUT);
    this.transport.write(OUT, line.length);
    return stream;
  }

  onInput(at: number, bytes: number): number {
    const text = new TextDecoder().decode(view(at, bytes));
    const whole = text.lastIndexOf("\n") + 1;
    for (const line of text.slice(0, whole).split("\n")) {
      const [id, status] = line.split(" ").map(Number);
      const stream = this.#streams.get(id);
      if (!line || !stream) continue;
      const head: ResponseHead = { version: this.version, status, fields: new Fields(), contentLength: 0 };
      stream.handler?.onResponse(stream, head, true);
      this.ended(stream, null);
    }
    return whole;
  }

  ended(stream: LineStream, error: MeshError<any> | null): void {
    if (!this.#streams.delete(stream.id)) return;
    stream.open = false;
    const handler = stream.handler;
    stream.handler = null;
    if (error !== null) handler?.onFailed(stream, error);
    else handler?.onFinished?.(stream);
    if (this.#draining && this.#streams.size === 0) this.transport.finish();
    else if (this.#open) this.owner?.onCapacity(this);
  }

  onInputEnd(): void {
    this.transport.abort();
  }
  onWritable(): void {}
  onTransportClosed(): void {
    this.#open = false;
    const error = new MeshError("connection_termination", "the connection has ended");
    for (const stream of [...this.#streams.values()]) this.ended(stream, error);
    this.owner?.onClosed(this, null);
  }
  drain(): void {
    this.#draining = true;
    if (this.#streams.size === 0 && this.#open) this.transport.finish();
  }
  abort(): void {
    this.transport.abort();
  }
}

/** `streams`: what one multiplexed connection takes at once. */
export function lineCodecs(streams = 100): ClientCodecs {
  const begin = (reactor: Reactor, carrier: Carrier, multiplexed: boolean) => {
    const plain = carrier.tls === null
      ? new PlainTransport(reactor, carrier.endpoint!, carrier.remote, carrier.local)
      : null;
    const connection = new LineConnection(plain ?? carrier.tls!, multiplexed, multiplexed ? streams : 1);
    plain?.begin();
    return connection;
  };
  return {
    http1: (reactor, carrier) => begin(reactor, carrier, false),
    http2: (reactor, carrier) => begin(reactor, carrier, true),
  };
}

/** What a {@linkcode LineServer} does with a request: answers with a status, or null to leave it waiting. */
export type LineAnswer = (path: string, connection: ServedLine) => number | null;

/** One connection of a {@linkcode LineServer}. */
export class ServedLine {
  readonly paths: string[] = [];
  readonly #waiting: string[] = [];
  #rest = "";
  readonly #tap: Tap;
  open = true;

  constructor(readonly socket: Endpoint, answer: () => LineAnswer) {
    this.#tap = tap(socket, {
      onData: (bytes) => {
        const lines = (this.#rest + new TextDecoder().decode(bytes)).split("\n");
        this.#rest = lines.pop()!;
        for (const line of lines) {
          const [id, path] = line.split(" ");
          this.paths.push(path);
          const status = answer()(path, this);
          if (status === null) this.#waiting.push(id);
          else this.reply(id, status);
        }
      },
      onEnd: () => {
        this.open = false;
        this.#tap.end();
      },
      onAbort: () => this.open = false,
    });
  }

  reply(id: string, status: number): void {
    this.#tap.write(new TextEncoder().encode(`${id} ${status}\n`));
  }

  /** Answers everything that waits. */
  release(status = 200): void {
    for (const id of this.#waiting.splice(0)) this.reply(id, status);
  }

  get waiting(): number {
    return this.#waiting.length;
  }
}

export class LineServer {
  readonly connections: ServedLine[] = [];
  readonly #listener: TcpListener;

  constructor(reactor: Reactor, public answer: LineAnswer = () => 200, address = "127.0.0.1", port = 0) {
    this.#listener = listenTcp(reactor, { address, port }, (socket) => this.take(socket));
  }

  /** A connection has come in; servers over TLS do more. */
  protected take(socket: TcpSocket): void {
    this.serve(socket);
  }

  protected serve(end: Endpoint): void {
    this.connections.push(new ServedLine(end, () => this.answer));
  }

  get port(): number {
    return this.#listener.port;
  }

  /** Requests so far. */
  get requests(): number {
    return this.connections.reduce((sum, one) => sum + one.paths.length, 0);
  }

  get openConnections(): number {
    return this.connections.filter((one) => one.open).length;
  }

  get waiting(): number {
    return this.connections.reduce((sum, one) => sum + one.waiting, 0);
  }

  release(status = 200): void {
    for (const connection of this.connections) connection.release(status);
  }

  close(): void {
    this.#listener.close();
  }
}

/** A {@linkcode LineServer} behind TLS. */
export class TlsLineServer extends LineServer {
  readonly alpn: string[] = [];
  readonly #reactor: Reactor;

  constructor(reactor: Reactor, public context: TlsContext) {
    super(reactor);
    this.#reactor = reactor;
  }

  protected override take(socket: TcpSocket): void {
    startTls(socket, this.context, 5000, (error, transport) => {
      if (error !== null) return;
      this.alpn.push(transport!.peer.alpn);
      this.serve(new TlsEndpoint(transport!));
    });
    this.#reactor.wantMicrotasks();
  }
}

export const MESHED_SERVICE = "depot/web.depot.svc.cluster.local";

/** A service of one workload at `address`, whose ztunnel is to be reached by HBONE; returns what applies `name`'s destination to it. */
export function meshedDestination(
  { mesh, clusters }: Lab,
  name: string,
  address: string,
  port: number,
): (extra?: Partial<Destination>) => void {
  mesh.upsertService(service("web", "10.1.0.1", { 80: port }, { namespace: "depot" }));
  mesh.upsertWorkload(
    workload("web-1", address, {
      namespace: "depot",
      serviceAccount: "stock",
      services: memberOf({ [MESHED_SERVICE]: { 80: port } }),
    }),
  );
  const apply = (extra: Partial<Destination> = {}) =>
    clusters.apply([destination(name, { endpoints: { kind: "service", service: MESHED_SERVICE }, ...extra })], []);
  apply();
  return apply;
}
