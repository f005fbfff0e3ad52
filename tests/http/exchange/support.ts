// A whole HTTP proxy on loopback: the codecs, the exchange and the clusters, without istiod; backends by Deno or by hand.

import { Downstream, type DownstreamInfo, HttpExchanges, RuntimeCompiler } from "../../../src/http/exchange/mod.ts";
import { HTTP_SERVER_OPTIONS, type HttpServerOptions } from "../../../src/http/codec/options.ts";
import { serveHttp } from "../../../src/http/codec/serve.ts";
import { RequestTelemetry } from "../../../src/http/telemetry/mod.ts";
import { Clusters } from "../../../src/http/upstream/mod.ts";
import {
  DEFAULT_LIMITS,
  type Destination,
  type L7Listener,
  type L7Policy,
  type L7Settings,
  type ProxyResource,
  type Route,
  type RouteAction,
  type RouteMatch,
  type WeightedDestination,
} from "../../../src/model/mod.ts";
import { listenTcp, Reactor, type TcpListener } from "../../../src/net/mod.ts";
import { PlainTransport } from "../../../src/net/plain_transport.ts";
import { MeshState } from "../../../src/proxy/state/mod.ts";
import { Registry } from "../../../src/telemetry/metrics.ts";

export const SELF = {
  use: "gateway" as const,
  nodeId: "router~127.0.0.1~gw.default~default.svc.cluster.local",
  workloadName: "gw",
  namespace: "default",
  canonicalName: "gw",
  canonicalRevision: "latest",
  clusterId: "Kubernetes",
  meshId: "cluster.local",
  principal: "spiffe://cluster.local/ns/default/sa/gw",
  network: "",
};

export const NO_MATCH: RouteMatch = { headers: [], query: [] };

export function settings(extra: Partial<L7Settings> = {}): L7Settings {
  return {
    kind: "settings",
    name: "mesh",
    trustDomain: "cluster.local",
    pathNormalization: "BASE",
    trustedProxies: 0,
    ...extra,
  };
}

export function listener(extra: Partial<L7Listener> = {}): L7Listener {
  return {
    kind: "listener",
    name: "http.80",
    binding: { kind: "port", port: 80 },
    protocol: "HTTP",
    hostnames: ["*"],
    httpsRedirect: false,
    origin: "Gateway/default/gw",
    ...extra,
  };
}

export function forward(destinations: readonly (string | WeightedDestination)[], extra: object = {}): RouteAction {
  return {
    kind: "forward",
    destinations: destinations.map((one) => typeof one === "string" ? { destination: one, weight: 1 } : one),
    mirrors: [],
    ...extra,
  };
}

export function route(action: RouteAction, extra: Partial<Route> = {}): Route {
  return { name: "default", origin: "HTTPRoute/default/web", match: NO_MATCH, action, ...extra };
}

export function virtualHost(
  routes: readonly Route[],
  hostnames: readonly string[] = ["*"],
  name = "web",
): ProxyResource {
  return { kind: "virtualHost", name, listener: "http.80", hostnames, routes };
}

export function destination(name: string, ports: readonly number[], extra: Partial<Destination> = {}): Destination {
  return {
    kind: "destination",
    name,
    hostname: `${name}.default.svc.cluster.local`,
    namespace: "default",
    port: 80,
    subset: "",
    endpoints: { kind: "static", endpoints: ports.map((port) => ({ address: "127.0.0.1", port, weight: 1 })) },
    protocol: "HTTP1",
    loadBalancer: { policy: "ROUND_ROBIN" },
    limits: DEFAULT_LIMITS,
    useWaypoint: false,
    rule: "",
    ...extra,
  };
}

export function policy(name: string, extra: Partial<L7Policy>): L7Policy {
  return { kind: "policy", name, listeners: ["*"], action: "ALLOW", dryRun: false, rules: [], ...extra };
}

export interface LabOptions {
  readonly resources: readonly ProxyResource[];
  readonly destinations?: readonly Destination[];
  readonly downstream?: Partial<DownstreamInfo>;
  readonly idleTimeoutMs?: number;
  readonly random?: () => number;
  /** What the codec bears with, where it is not what it bears with at work. */
  readonly server?: Partial<HttpServerOptions>;
}

/** A running proxy. */
export class ProxyLab {
  readonly reactor: Reactor = new Reactor();
  readonly compiler: RuntimeCompiler = new RuntimeCompiler();
  readonly clusters: Clusters;
  readonly exchanges: HttpExchanges;
  readonly registry: Registry = new Registry();
  readonly telemetry: RequestTelemetry;
  #log = "";
  #listener!: TcpListener;

  constructor(options: LabOptions) {
    this.clusters = new Clusters({
      reactor: this.reactor,
      mesh: new MeshState(),
      certificate: () => {
        throw new Error("no mesh here");
      },
    });
    this.telemetry = new RequestTelemetry({
      reactor: this.reactor,
      registry: this.registry,
      self: () => SELF,
      write: (bytes) => this.#log += new TextDecoder().decode(bytes),
    });
    this.exchanges = new HttpExchanges({
      reactor: this.reactor,
      clusters: this.clusters,
      observer: this.telemetry,
      idleTimeoutMs: options.idleTimeoutMs,
      random: options.random,
    });
    this.clusters.apply(options.destinations ?? [], []);
    const { resources } = options;
    const all = [
      ...resources.some(({ kind }) => kind === "settings")
        ? []
        : [settings({ accessLog: { encoding: "TEXT", format: "" } })],
      ...resources.some(({ kind }) => kind === "listener") ? [] : [listener()],
      ...resources,
    ];
    this.apply(all);
    this.#listener = listenTcp(this.reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
      const { remote, local } = socket;
      const downstream = new Downstream({
        use: "gateway",
        peerAddress: remote.address,
        peerPort: remote.port,
        localAddress: local.address,
        localPort: 80,
        ...options.downstream,
      });
      const transport = new PlainTransport(this.reactor, socket, remote, local);
      serveHttp(this.reactor, transport, downstream, {
        onRequest: (stream) =>
          this.exchanges.handleRequest(stream, downstream, this.compiler.slot("http.80")?.current ?? null),
        onRefused: (_connection, status, reason) =>
          this.exchanges.handleRefusal(downstream, this.compiler.slot("http.80")?.current ?? null, status, reason),
      }, { ...HTTP_SERVER_OPTIONS, ...options.server });
      transport.begin();
    });
    this.reactor.start();
  }

  get port(): number {
    return this.#listener.local.port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Changes the configuration. */
  apply(resources: readonly ProxyResource[], removed: readonly string[] = []): void {
    this.compiler.apply(resources, removed);
    this.telemetry.configure(this.compiler.settings);
  }

  /** The access log so far. */
  get log(): string[] {
    this.telemetry.accessLog.flush();
    return this.#log.split("\n").slice(0, -1);
  }

  async close(): Promise<void> {
    this.#listener.close();
    this.exchanges.close();
    this.clusters.close();
    await this.telemetry.close();
    await this.reactor.stop();
  }
}

export async function withLab(options: LabOptions, run: (lab: ProxyLab) => Promise<void>): Promise<void> {
  const lab = new ProxyLab(options);
  try {
    await run(lab);
  } finally {
    await lab.close();
  }
}

/** A backend by Deno's own server. */
export async function withBackend(
  handler: (request: Request) => Response | Promise<Response>,
  run: (port: number) => Promise<void>,
): Promise<void> {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, handler);
  try {
    await run((server.addr as Deno.NetAddr).port);
  } finally {
    await server.shutdown();
  }
}

/** A client or a server's connection by hand. */
export class RawPeer {
  received = "";
  ended = false;
  #reading: Promise<void>;

  constructor(readonly conn: Deno.TcpConn) {
    this.#reading = this.#read();
  }

  async #read(): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    const decoder = new TextDecoder();
    try {
      for (;;) {
        const count = await this.conn.read(buffer);
        if (count === null) break;
        this.received += decoder.decode(buffer.subarray(0, count), { stream: true });
      }
    } catch {
      // A reset ends it, too.
    }
    this.ended = true;
  }

  async send(text: string): Promise<void> {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += await this.conn.write(bytes.subarray(at));
  }

  async until(want: (peer: RawPeer) => boolean, what = "more"): Promise<this> {
    const end = performance.now() + 10_000;
    while (!want(this)) {
      if (performance.now() > end) {
        throw new Error(`waited for ${what}; got ${JSON.stringify(this.received)}, ended ${this.ended}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return this;
  }

  async close(): Promise<void> {
    try {
      this.conn.close();
    } catch {
      // Closed already.
    }
    await this.#reading;
  }
}

/** A backend that follows a script for each of its connections, in order. */
export class ScriptedBackend {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly peers: RawPeer[] = [];
  #accepting: Promise<void>;

  constructor(script: (peer: RawPeer, index: number) => Promise<void>) {
    this.#accepting = (async () => {
      const running: Promise<void>[] = [];
      for (;;) {
        let conn: Deno.TcpConn;
        try {
          conn = await this.#listener.accept();
        } catch (thrown) {
          if (thrown instanceof Deno.errors.BadResource || thrown instanceof Deno.errors.Interrupted) break;
          continue; // the peer had gone before it was accepted
        }
        const peer = new RawPeer(conn);
        this.peers.push(peer);
        running.push(script(peer, this.peers.length - 1).catch(() => {}));
      }
      await Promise.all(running);
    })();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  async close(): Promise<void> {
    this.#listener.close();
    await Promise.all(this.peers.map((peer) => peer.close()));
    await this.#accepting;
  }
}

export async function connect(port: number): Promise<RawPeer> {
  return new RawPeer(await Deno.connect({ hostname: "127.0.0.1", port }));
}

/** Sends one request and reads to the end of the connection. */
export async function raw(port: number, request: string): Promise<string> {
  const peer = await connect(port);
  try {
    await peer.send(request);
    return (await peer.until(({ ended }) => ended, "the end")).received;
  } finally {
    await peer.close();
  }
}

/** A GET with `connection: close`. */
export function get(port: number, path: string, headers: Record<string, string> = {}, host = "web"): Promise<string> {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return raw(port, `GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n${lines}\r\n`);
}

/** A port that nobody listens on. */
export function closedPort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}
