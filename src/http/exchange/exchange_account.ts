// What is known of one request: what rules look at, what was decided, and what is told of it in the end.

import { formatIp, type IpBits } from "../../core/ip.ts";
import type { Workload } from "../../model/mod.ts";
import type { SocketAddress } from "../../net/mod.ts";
import type { L7ConnectionFacts, L7Decision, L7RequestFacts } from "../../policy/http.ts";
import { fieldName, type Fields } from "../fields.ts";
import { GRPC_STATUS } from "../filters/mod.ts";
import type { MatchFacts } from "../match/mod.ts";
import type { HttpVersion, RequestHead } from "../message.ts";
import type { ServerStream } from "../stream.ts";
import type { Cluster, Host } from "../upstream/mod.ts";
import type { CompiledDestination, CompiledRoute } from "./compiled_route.ts";
import type { Downstream } from "./downstream.ts";
import type { HttpExchanges } from "./exchanges.ts";
import type { GrpcMeter } from "./grpc_meter.ts";
import type { RequestRecord, TraceContext } from "./record.ts";
import type { ListenerRuntime } from "./runtime.ts";

/** A stream whose answer has begun may be quiet for so long (watches, WebSockets); before that the engine's idle time counts. */
const ANSWERED_IDLE_FACTOR = 12;

/** The facts and the account of one request. The exchange is made of them, so that one object is made per request and nothing is copied. */
export abstract class ExchangeAccount implements MatchFacts, L7RequestFacts, RequestRecord {
  protected readonly engine: HttpExchanges;
  protected readonly stream: ServerStream;
  readonly downstream: Downstream;
  protected readonly runtimeOrNull: ListenerRuntime | null;
  readonly head: RequestHead;

  // --- what rules look at
  path = "";
  query = "";
  hostname = "";
  remoteIp: IpBits | undefined;

  // --- what was decided
  decision: L7Decision | null = null;
  protected route: CompiledRoute | null = null;
  protected destination: CompiledDestination | null = null;
  protected corsOrigin: string | null = null;

  // --- how far it has come
  cluster: Cluster | null = null;
  attempts = 0;
  /** The answer has begun. */
  protected answered = false;
  /** Counts messages of a gRPC call. */
  protected meter: GrpcMeter | null = null;

  // --- account
  originalPath = "";
  responseStatus = 0;
  responseFields: Fields | null = null;
  flags = "";
  details = "";
  readonly startTime: number;
  readonly #start: number;
  durationMs = 0;
  upstreamMs = -1;
  upstreamHost: Host | null = null;
  upstreamLocal: SocketAddress | null = null;
  upstreamFailure = "";
  requestId = "";
  grpc = false;
  grpcStatus = -1;
  trace: TraceContext | null = null;
  #idleBytes = 0;
  #idleSince: number;

  constructor(engine: HttpExchanges, stream: ServerStream, downstream: Downstream, runtime: ListenerRuntime | null) {
    this.engine = engine;
    this.stream = stream;
    this.downstream = downstream;
    this.runtimeOrNull = runtime;
    this.head = stream.request;
    this.#start = this.#idleSince = engine.reactor.now;
    this.startTime = engine.clock.now();
  }

  // --- facts

  get runtime(): ListenerRuntime {
    return this.runtimeOrNull!;
  }
  get connection(): L7ConnectionFacts {
    return this.downstream;
  }
  get method(): string {
    return this.head.method;
  }
  get scheme(): string {
    return this.head.scheme;
  }
  get authority(): string {
    return this.head.authority;
  }
  get fields(): Fields {
    return this.head.fields;
  }
  get sourceWorkload(): Workload | undefined {
    return this.downstream.sourceWorkload;
  }
  headerValues(name: string): readonly string[] {
    switch (name) {
      case "host":
      case ":authority":
        return [this.head.authority];
      case ":method":
        return [this.head.method];
      case ":path":
        return [this.head.path];
      case ":scheme":
        return [this.head.scheme];
    }
    return this.head.fields.values(fieldName(name));
  }
  /** Bytes of an upgraded protocol are no body: they flow once the backend has agreed. */
  get bodyEnded(): boolean {
    return this.stream.requestEnded || this.head.upgrade !== "";
  }
  get downstreamVersion(): HttpVersion {
    return this.head.version;
  }
  /** Behind trusted proxies the client that they name. */
  get source(): SocketAddress {
    const { remoteIp, downstream } = this;
    if (remoteIp === undefined || remoteIp === downstream.peerIp) return downstream.peer;
    return { address: formatIp(remoteIp), port: 0 };
  }
  get onBehalfOf(): SocketAddress | null {
    return this.downstream.onBehalfOf;
  }
  get originalDestination(): SocketAddress {
    return this.downstream.local;
  }
  get routeName(): string {
    return this.route === null ? "-" : this.route.name;
  }
  get requestMessages(): number {
    return this.meter === null ? 0 : this.meter.requests.count;
  }
  get responseMessages(): number {
    return this.meter === null ? 0 : this.meter.responses.count;
  }
  get bytesReceived(): number {
    return this.stream.bytesIn;
  }
  get bytesSent(): number {
    return this.stream.bytesOut;
  }

  // --- account

  idleFor(now: number): number {
    const moved = this.stream.bytesIn + this.stream.bytesOut + this.attempts;
    if (moved !== this.#idleBytes) {
      this.#idleBytes = moved;
      this.#idleSince = now;
    }
    const quiet = now - this.#idleSince;
    return this.answered ? quiet / ANSWERED_IDLE_FACTOR : quiet;
  }

  protected noteGrpcStatus(fields: Fields): void {
    const text = fields.get(GRPC_STATUS);
    // Numbers that gRPC does not have are "unknown" to it, and would be series without end to metrics.
    if (text !== undefined && text !== "") this.grpcStatus = /^(\d|1[0-6])$/.test(text) ? Number(text) : 2;
  }

  protected date(): string {
    return this.engine.date.text(this.engine.clock.now());
  }

  protected flag(flag: string, first = false): void {
    if (flag === "-" || flag === "") return;
    if (this.flags === "") this.flags = flag;
    else this.flags = first ? `${flag},${this.flags}` : `${this.flags},${flag}`;
  }

  /** The request is over. */
  protected stopClock(): void {
    this.durationMs = this.engine.reactor.now - this.#start;
  }
}
