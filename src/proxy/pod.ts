import type { CertificateChoice, HboneConnectCallback, HboneTarget } from "../hbone/mod.ts";
import type { SpiffeId, Workload } from "../model/mod.ts";
import type { WorkloadCertificate } from "../identity/types.ts";
import type { ConnectOptions, Keepalive, Netns, Reactor } from "../net/mod.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { ProxyConfig } from "./config.ts";
import { CONNECT_TIMEOUT_MS } from "./config.ts";
import type { ConnectionManager } from "./connection_manager.ts";
import type { ConnectionView, ConnectionViews } from "./connection_view.ts";
import type { DnsOptions } from "./dns/server.ts";
import type { LocalWorkload } from "./local_workload.ts";
import type { MeshState } from "./state/mod.ts";
import { workloadSpiffeId } from "./state/mod.ts";
import type { TrafficMetrics } from "./telemetry.ts";

/** Where certificates come from: a CertificateCache. */
export interface Certificates {
  get(id: SpiffeId): Promise<WorkloadCertificate>;
  /** What is held and valid now, without asking the CA. */
  current(id: SpiffeId): WorkloadCertificate | undefined;
}

/** What all pods of one ztunnel share. */
export interface Shared {
  readonly reactor: Reactor;
  readonly state: MeshState;
  readonly certificates: Certificates;
  readonly connections: ConnectionManager;
  readonly metrics: TrafficMetrics;
  /** Scope `access`. */
  readonly access: Logger;
  readonly logger: Logger;
  readonly config: ProxyConfig;
  /** Undefined when DNS is not proxied. */
  readonly dns: DnsOptions | undefined;
  readonly random: () => number;
  /** Resolves a host name to addresses of either family (workloads that have no address of their own). */
  readonly resolve: (hostname: string, family: 4 | 6 | undefined) => Promise<string[]>;
}

/** The client half of HBONE as the outbound side uses it. */
export interface HboneDialer {
  connect(target: HboneTarget, callback: HboneConnectCallback): unknown;
}

/** One proxied pod, as inbound and outbound see it. */
export class Pod {
  readonly shared: Shared;
  readonly netns: Netns | undefined;
  readonly local: LocalWorkload;
  readonly dialer: HboneDialer;
  /** False where the kernel does not let us speak with a client's address. */
  readonly preserveSource: boolean;
  /** SO_MARK of its sockets; 0 for none. */
  readonly mark: number;
  readonly keepalive: Keepalive | undefined;
  /** Everything that must end before the pod has: connections being made and connections open. */
  readonly #open = new Set<PodConnection>();
  #idle: (() => void) | undefined;

  constructor(
    shared: Shared,
    netns: Netns | undefined,
    local: LocalWorkload,
    dialer: HboneDialer,
    preserveSource: boolean,
    mark: number,
  ) {
    this.shared = shared;
    this.netns = netns;
    this.local = local;
    this.dialer = dialer;
    this.preserveSource = preserveSource;
    this.mark = mark;
    this.keepalive = keepaliveOf(shared.config);
  }

  /** Options to dial from inside the pod's namespace. */
  dialOptions(address: string, port: number): ConnectOptions {
    return {
      netns: this.netns,
      mark: this.mark,
      address,
      port,
      timeoutMs: CONNECT_TIMEOUT_MS,
      keepalive: this.keepalive,
    };
  }

  /** As {@linkcode dialOptions}, with the client's address as the source where that is possible and means something. */
  dialAs(client: string, address: string, port: number): ConnectOptions {
    const options = this.dialOptions(address, port);
    if (!this.preserveSource || client === address) return options;
    return { ...options, bindAddress: client, transparent: true, freebind: true };
  }

  /** The certificate of the pod's service account: at once when it is held. */
  certificate(workload: Workload): CertificateChoice {
    const id = workloadSpiffeId(workload);
    return this.shared.certificates.current(id) ?? this.shared.certificates.get(id);
  }

  /** The certificate to show on 15008; waits for the workload where it must. */
  serverCertificate(): CertificateChoice {
    const known = this.local.current();
    return known ? this.certificate(known) : this.local.wait().then((workload) => this.certificate(workload));
  }

  track(connection: PodConnection): void {
    this.#open.add(connection);
  }

  untrack(connection: PodConnection): void {
    this.#open.delete(connection);
    if (this.#open.size === 0) this.#idle?.();
  }

  /** Connections open or being made. */
  get size(): number {
    return this.#open.size;
  }

  /** Connections whose destination is known. */
  views(): ConnectionViews {
    const views: ConnectionViews = { inbound: [], outbound: [] };
    for (const connection of this.#open) {
      const view = connection.view();
      if (view) views[connection.direction].push(view);
    }
    return views;
  }

  /** Resolves when no connection is left. */
  idle(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle = resolve);
  }

  /** Ends every connection at once. */
  abort(reason: string): void {
    for (const connection of [...this.#open]) connection.end(reason);
  }
}

/** TCP keepalive of accepted and dialled sockets, 15008 excepted; undefined when it is switched off. */
export function keepaliveOf(config: ProxyConfig): Keepalive | undefined {
  if (!config.keepaliveEnabled) return undefined;
  return {
    idleSeconds: Math.ceil(config.keepaliveTimeMs / 1000),
    intervalSeconds: Math.ceil(config.keepaliveIntervalMs / 1000),
    probes: config.keepaliveRetries,
    userTimeout: config.userTimeoutEnabled,
  };
}

/** A connection of a pod, for those who list connections and end them. */
export interface PodConnection {
  readonly direction: "inbound" | "outbound";
  /** Undefined while it is not known where the connection goes. */
  view(): ConnectionView | undefined;
  end(reason: string): void;
}
