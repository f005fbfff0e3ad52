// An L7 proxy in this process, configured as xDS would, with real clients and backends on loopback.

import { HbonePool, type HboneStream } from "../../../src/hbone/mod.ts";
import { HttpExchanges } from "../../../src/http/exchange/mod.ts";
import { Clusters } from "../../../src/http/upstream/mod.ts";
import type { CertificateAuthority } from "../../../src/identity/authority.ts";
import type { WorkloadCertificate } from "../../../src/identity/types.ts";
import {
  DEFAULT_LIMITS,
  type Destination,
  type L7Listener,
  type L7Policy,
  type ProxyResource,
  type Route,
  type SpiffeId,
  type TlsSecret,
  type VirtualHost,
} from "../../../src/model/mod.ts";
import { listenTcp, pump, Reactor, type TcpListener } from "../../../src/net/mod.ts";
import type { TcpSocket } from "../../../src/net/tcp_socket.ts";
import { MeshState } from "../../../src/proxy/state/mod.ts";
import { L7Proxy } from "../../../src/roles/waypoint/proxy.ts";
import type { TcpReport } from "../../../src/http/telemetry/mod.ts";
import { Logger } from "../../../src/telemetry/logger.ts";
import { idOf, issueWorkload, LogLines, testCa } from "../../identity/support.ts";
import { TestConnection } from "../../support/tcp.ts";

export const WAYPOINT_ID = idOf("default", "waypoint"), CLIENT_ID = idOf("default", "sleep");

export interface LabOptions {
  /** Takes tunnels; a gateway otherwise. */
  readonly waypoint?: boolean;
  /** As PRESERVE_CLIENT_ADDRESS=false. */
  readonly hideClients?: boolean;
}

/** Runs with a lab and takes it down whatever happens. */
export async function withLab(options: LabOptions, run: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = await Lab.start(options);
  try {
    await run(lab);
  } finally {
    await lab.close();
  }
}

let authority: Promise<CertificateAuthority> | undefined;

export class Lab {
  readonly log = new LogLines();
  readonly state = new MeshState();
  readonly tcp: TcpReport[] = [];
  /** `404 NR route_not_found` of each request that is over. */
  readonly requests: string[] = [];
  readonly pool: HbonePool;
  readonly clusters: Clusters;
  readonly exchanges: HttpExchanges;
  readonly proxy: L7Proxy;
  readonly #backends: Deno.HttpServer[] = [];
  readonly #listeners: TcpListener[] = [];
  readonly #closing = Promise.withResolvers<Response>();

  private constructor(
    readonly reactor: Reactor,
    readonly ca: CertificateAuthority,
    readonly certificate: WorkloadCertificate,
    waypoint: boolean,
    hideClients: boolean,
  ) {
    const logger = new Logger("waypoint", { sink: this.log });
    logger.levels.apply("debug");
    const secrets = new Map<string, TlsSecret>();
    this.pool = new HbonePool({ reactor });
    this.clusters = new Clusters({
      reactor,
      mesh: this.state,
      certificate: () => certificate,
      secret: (name) => secrets.get(name),
    });
    this.exchanges = new HttpExchanges({
      reactor,
      clusters: this.clusters,
      observer: {
        trace: () => null,
        onNoted: () => {},
        onRequest: ({ responseStatus, flags, details }) =>
          this.requests.push(`${responseStatus} ${flags || "-"} ${details}`),
      },
    });
    this.proxy = new L7Proxy({
      reactor,
      clusters: this.clusters,
      exchanges: this.exchanges,
      mesh: this.state,
      network: "",
      certificate: () => certificate,
      secrets,
      onTcpDone: (report) => this.tcp.push(report),
      logger,
      hbone: waypoint ? { address: "127.0.0.1", port: 0, hideClients } : undefined,
      gatewayHost: "127.0.0.1",
    });
  }

  static async start({ waypoint = false, hideClients = false }: LabOptions): Promise<Lab> {
    const ca = await (authority ??= testCa());
    const reactor = new Reactor();
    reactor.start();
    return new Lab(reactor, ca, await issueWorkload(ca, WAYPOINT_ID), waypoint, hideClients);
  }

  /** Takes a change of configuration, as from xDS; returns what is refused. */
  apply(added: readonly ProxyResource[], removed: readonly string[] = []) {
    return this.proxy.config.apply({ added, removed });
  }

  /** An HTTP backend on loopback; returns its port. An answer that never comes ends with the lab. */
  backend(handler: (request: Request) => Response | Promise<Response>): number {
    const server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => Promise.race([handler(request), this.#closing.promise]),
    );
    this.#backends.push(server);
    return (server.addr as Deno.NetAddr).port;
  }

  /** A tunnel through the waypoint, as a client's ztunnel opens it. */
  async tunnel(
    target: string,
    options: { id?: SpiffeId; forwarded?: string; ca?: CertificateAuthority } = {},
  ): Promise<TestConnection> {
    const certificate = await issueWorkload(options.ca ?? this.ca, options.id ?? CLIENT_ID);
    const stream = await new Promise<HboneStream>((resolve, reject) =>
      this.pool.connect({
        certificate,
        address: "127.0.0.1",
        port: this.proxy.tunnel!.port,
        expectedIds: [WAYPOINT_ID],
        authority: target,
        headers: options.forwarded ? [["forwarded", options.forwarded]] : [],
      }, (error, stream) => error ? reject(error) : resolve(stream!))
    );
    return new TestConnection(stream as unknown as TcpSocket);
  }

  /** A port on loopback behind which is a tunnel for each connection: what a ztunnel does for applications. Returns the port. */
  async forward(target: string, id: SpiffeId = CLIENT_ID): Promise<number> {
    const certificate = await issueWorkload(this.ca, id);
    const listener = listenTcp(this.reactor, { address: "127.0.0.1", port: 0 }, (socket) =>
      this.pool.connect({
        certificate,
        address: "127.0.0.1",
        port: this.proxy.tunnel!.port,
        expectedIds: [WAYPOINT_ID],
        authority: target,
        headers: [],
      }, (error, stream) => error ? socket.abort() : pump(socket, stream!, { onDone: () => {} })));
    this.#listeners.push(listener);
    return listener.local.port;
  }

  async close(): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    this.#closing.resolve(new Response("the lab closes", { status: 500 }));
    this.pool.close();
    this.proxy.close();
    await Promise.all(this.#backends.map((server) => server.shutdown()));
    await this.reactor.stop();
  }
}

// --- resources, with what a test does not care about filled in

export function listener(name: string, port: number, extra: Partial<L7Listener> = {}): L7Listener {
  return {
    kind: "listener",
    name,
    binding: { kind: "port", port },
    protocol: "HTTP",
    hostnames: ["*"],
    httpsRedirect: false,
    origin: `Gateway/default/${name}`,
    ...extra,
  };
}

/** The listener of a waypoint for a service's port. */
export function serviceListener(
  name: string,
  vip: string,
  port: number,
  extra: Partial<L7Listener> = {},
): L7Listener {
  const hostname = `${name}.default.svc.cluster.local`;
  return listener(`inbound-vip|${port}|http|${hostname}`, 0, {
    binding: { kind: "service", service: `default/${hostname}`, hostname, addresses: [vip], port },
    origin: `Service/default/${name}`,
    ...extra,
  });
}

export function route(destination: string, extra: Partial<Route> = {}): Route {
  return {
    name: "default",
    origin: "HTTPRoute/default/test",
    match: { headers: [], query: [] },
    action: { kind: "forward", destinations: [{ destination, weight: 1 }], mirrors: [] },
    ...extra,
  };
}

export function virtualHost(on: string, routes: readonly Route[], hostnames: readonly string[] = ["*"]): VirtualHost {
  return { kind: "virtualHost", name: `${on}/${hostnames.join(",")}`, listener: on, hostnames, routes };
}

/** A destination with one endpoint on loopback. */
export function destination(name: string, port: number, extra: Partial<Destination> = {}): Destination {
  return {
    kind: "destination",
    name,
    hostname: `${name}.default.svc.cluster.local`,
    namespace: "default",
    port: 80,
    subset: "",
    endpoints: { kind: "static", endpoints: [{ address: "127.0.0.1", port, weight: 1 }] },
    protocol: "HTTP1",
    loadBalancer: { policy: "ROUND_ROBIN" },
    limits: DEFAULT_LIMITS,
    useWaypoint: false,
    rule: "",
    ...extra,
  };
}

export function policy(name: string, extra: Partial<L7Policy>): L7Policy {
  return {
    kind: "policy",
    name: `default/${name}`,
    listeners: ["*"],
    action: "ALLOW",
    dryRun: false,
    rules: [],
    ...extra,
  };
}

/** Sends a request on a connection and waits for an answer with its body. */
export async function exchange(connection: TestConnection, head: string): Promise<string> {
  const before = connection.received.length;
  connection.send(head.replace(/\r?\n/g, "\r\n") + "\r\n\r\n");
  await connection.until(({ received, state }) => state !== "open" || complete(received.slice(before)));
  return connection.received.slice(before);
}

function complete(text: string): boolean {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const length = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, end));
  if (length) return text.length >= end + 4 + Number(length[1]);
  return /\r\ntransfer-encoding: chunked/i.test(text.slice(0, end)) ? text.endsWith("0\r\n\r\n") : true;
}
