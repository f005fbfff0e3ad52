// What is known of a request when it is over: what logs, metrics and spans are made from.

import type { IpBits } from "../../core/ip.ts";
import type { SocketAddress } from "../../net/mod.ts";
import type { Fields } from "../fields.ts";
import type { RequestHead } from "../message.ts";
import type { Cluster, Host } from "../upstream/mod.ts";
import type { Downstream } from "./downstream.ts";
import type { ListenerRuntime } from "./runtime.ts";

/** The account of one request. The exchange is one itself, so that nothing is copied. */
export interface RequestRecord {
  readonly downstream: Downstream;
  readonly runtime: ListenerRuntime;
  /** As it was sent on, or as far as it got; null for bytes that are not HTTP. */
  readonly head: RequestHead | null;
  /** The original client as far as it is known. */
  readonly remoteIp: IpBits | undefined;
  /** Path and query before a rewrite; "" without one. */
  readonly originalPath: string;
  /** 0 when nothing was answered. */
  readonly responseStatus: number;
  readonly responseFields: Fields | null;
  /** Envoy's response flags joined by commas; "" for none. */
  readonly flags: string;
  /** Response code details; "" for none. */
  readonly details: string;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Milliseconds since the epoch. */
  readonly startTime: number;
  readonly durationMs: number;
  /** Milliseconds from the request's going out to the response's head; -1 without one. */
  readonly upstreamMs: number;
  readonly cluster: Cluster | null;
  readonly upstreamHost: Host | null;
  readonly upstreamLocal: SocketAddress | null;
  readonly upstreamFailure: string;
  /** `-` for none. */
  readonly routeName: string;
  readonly requestId: string;
  readonly grpc: boolean;
  /** The gRPC status; -1 when there is none. */
  readonly grpcStatus: number;
  /** gRPC messages that have passed; 0 for other requests. */
  readonly requestMessages: number;
  readonly responseMessages: number;
  /** Attempts made. */
  readonly attempts: number;
  readonly trace: TraceContext | null;
}

/** The span of a request that is traced. */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  /** "" for a root span. */
  readonly parentId: string;
  readonly sampled: boolean;
}
