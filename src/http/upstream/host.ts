import type { Locality, Service, SpiffeId, Workload } from "../../model/mod.ts";
import { hostPort } from "../../core/ip.ts";
import type { OutlierState } from "./outlier.ts";
import { HostPools } from "./host_pools.ts";

/** The HBONE tunnel that leads to a host. */
export interface HostTunnel {
  readonly address: string;
  readonly port: number;
  /** `:authority` of the CONNECT. */
  readonly authority: string;
  readonly expectedIds: readonly SpiffeId[];
  /** The tunnel ends at a waypoint, not at the workload. */
  readonly waypoint: boolean;
}

/** One endpoint of a destination, as its source (mesh, configuration, DNS) describes it now. */
export interface HostSpec {
  /** Same key, same host: its state and connections are kept. */
  readonly key: string;
  readonly address: string;
  readonly port: number;
  /** Set for hosts in the mesh; behind a waypoint it is the waypoint's. */
  readonly workload: Workload | undefined;
  readonly service: Service | undefined;
  readonly locality: Locality | undefined;
  readonly weight: number;
  readonly healthy: boolean;
  readonly tunnel: HostTunnel | undefined;
}

/**
 * One endpoint of one cluster. It keeps its state while its description changes, and is dropped when its source no longer
 * names it; attempts under way still refer to it then.
 */
export class Host {
  readonly key: string;
  readonly address: string;
  readonly port: number;
  /** `10.0.0.1:8080`, for logs. */
  readonly name: string;
  spec: HostSpec;
  /** Requests under way: what LEAST_REQUEST compares. */
  active = 0;
  /** Connections, those being made included. */
  connections = 0;
  weight: number;
  /** 0 is nearest. */
  priority = 0;
  /** When it joined or became healthy again, on the reactor's clock, for warm-up. */
  since: number;
  /** Null until outlier detection is on and has seen an answer. */
  outlier: OutlierState | null = null;
  ejected = false;
  /** Its source does not name it any more. */
  removed = false;
  readonly pools: HostPools = new HostPools();

  constructor(spec: HostSpec, now: number) {
    this.key = spec.key;
    this.address = spec.address;
    this.port = spec.port;
    this.name = hostPort(spec.address, spec.port);
    this.spec = spec;
    this.weight = spec.weight;
    this.since = now;
  }

  get workload(): Workload | undefined {
    return this.spec.workload;
  }

  get service(): Service | undefined {
    return this.spec.service;
  }

  /** Whether it is reached by HBONE. */
  get hbone(): boolean {
    return this.spec.tunnel !== undefined;
  }

  /** May be chosen. */
  get available(): boolean {
    return this.spec.healthy && !this.ejected;
  }

  /** Whether its connections belong to one client each: a waypoint at the tunnel's end would not believe whom we name. */
  get perClient(): boolean {
    const { tunnel } = this.spec;
    return tunnel !== undefined && !tunnel.waypoint;
  }
}
