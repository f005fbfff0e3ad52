// Messages that a codec refuses by itself: they never become requests, and are told of all the same.

import type { SocketAddress } from "../../net/mod.ts";
import type { Cluster, Host } from "../upstream/mod.ts";
import type { Downstream } from "./downstream.ts";
import type { RequestRecord } from "./record.ts";
import type { ListenerRuntime } from "./runtime.ts";

/** The account of what was not HTTP: no method, no path, Envoy's flag DPE. */
export class RefusedRecord implements RequestRecord {
  readonly head = null;
  readonly originalPath = "";
  readonly responseFields = null;
  readonly flags = "DPE";
  readonly bytesReceived = 0;
  readonly bytesSent = 0;
  readonly durationMs = 0;
  readonly upstreamMs = -1;
  readonly cluster: Cluster | null = null;
  readonly upstreamHost: Host | null = null;
  readonly upstreamLocal: SocketAddress | null = null;
  readonly upstreamFailure = "";
  readonly routeName = "-";
  readonly requestId = "";
  readonly grpc = false;
  readonly grpcStatus = -1;
  readonly requestMessages = 0;
  readonly responseMessages = 0;
  readonly attempts = 0;
  readonly trace = null;
  readonly remoteIp: RequestRecord["remoteIp"];
  readonly details: string;

  constructor(
    readonly downstream: Downstream,
    readonly runtime: ListenerRuntime,
    readonly responseStatus: number,
    reason: string,
    readonly startTime: number,
  ) {
    this.remoteIp = downstream.peerIp;
    this.details = `codec_error{${reason.replace(/[^\w.:-]+/g, "_")}}`;
  }
}
