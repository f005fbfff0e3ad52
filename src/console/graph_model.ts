// The graph as the API answers it. Rates are per second over the window.

import type { Membership, PolicyRef } from "./workloads.ts";

/** What one node stands for: an application's version, an application, or a workload. */
export const GROUPINGS = ["versioned-app", "app", "workload"] as const;
export type Grouping = typeof GROUPINGS[number];

/** `service`: a Service that was asked for and did not come to a workload; `outside`: who the mesh does not know. */
export type NodeKind = "workload" | "gateway" | "waypoint" | "service" | "outside";

export interface GraphNode {
  readonly id: string;
  readonly kind: NodeKind;
  readonly namespace: string;
  /** What is written: the application's or the workload's name. */
  readonly name: string;
  /** The application's name, whatever the node is. */
  readonly app: string;
  /** "" where versions are not told apart. */
  readonly version: string;
  readonly workloads: readonly string[];
  readonly services: readonly string[];
  readonly serviceAccount: string;
  readonly membership: Membership | "unknown";
  readonly pods: number;
  readonly ready: number;
  readonly outOfMesh: number;
  readonly waypoint: string | undefined;
  readonly policies: readonly PolicyRef[];
  /** Nothing flowed to or from it within the window. */
  readonly idle: boolean;
  /** It is in a namespace that was not asked for, and here because of its traffic with one that was. */
  readonly neighbour: boolean;
}

/** Requests of one status, or connections that ended in one way. */
export interface Outcome {
  /** `200`, `503 UH`, `gRPC 0`, or ztunnel's flag. */
  readonly name: string;
  readonly rate: number;
  readonly kind: "ok" | "failed" | "refused";
}

export interface HttpTraffic {
  readonly protocol: "http" | "grpc";
  readonly requests: number;
  /** Requests that failed (5xx, gRPC errors). */
  readonly errors: number;
  /** Mean, in milliseconds; undefined without requests. */
  readonly meanMs: number | undefined;
  readonly outcomes: readonly Outcome[];
}

export interface TcpTraffic {
  /** New connections. */
  readonly connections: number;
  /** Connections that could not be made. */
  readonly failures: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly outcomes: readonly Outcome[];
}

/** A policy that refused; `certain` when a proxy has named it, else it is one that applies where the refusal was. */
export interface Refuser extends PolicyRef {
  readonly certain: boolean;
}

export interface GraphEdge {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  /** Whether all of it was mutual TLS, and what share of it, from 0 to 1. */
  readonly mtls: boolean;
  readonly mtlsShare: number;
  readonly http: HttpTraffic | undefined;
  readonly tcp: TcpTraffic | undefined;
  /** Identities that mutual TLS proved. */
  readonly sourcePrincipals: readonly string[];
  readonly targetPrincipals: readonly string[];
  /** Waypoints that the requests passed, as `namespace/name`. */
  readonly waypoints: readonly string[];
  /** Services that were addressed. */
  readonly services: readonly string[];
  /** Requests and connections per second that policy refused. */
  readonly denied: number;
  readonly deniedBy: readonly Refuser[];
  /** `denied` when most was refused, `failing` when some failed, else `ok`. */
  readonly health: "ok" | "degraded" | "failing" | "denied";
  /** Requests or connections per second: what widths and labels show. */
  readonly rate: number;
  /** Of the source's traffic to the same application, the share that this version has; undefined where it has all of it. */
  readonly share: number | undefined;
}

export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
  /** Nodes or edges were left out: there are too many to draw. */
  readonly truncated: boolean;
}
