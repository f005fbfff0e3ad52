import type { MeshError } from "../../core/errors.ts";
import { H2Connection } from "../../h2/connection.ts";
import type { H2ErrorCode, H2Handler } from "../../h2/handler.ts";
import { CANCEL, PROTOCOL_ERROR, REFUSED_STREAM } from "../../h2/constants.ts";
import { fieldOf, type HeaderFields } from "../../h2/headers.ts";
import type { H2Stream, H2StreamHandler } from "../../h2/stream.ts";
import { ABORTED, type FlowErrorCode } from "../../net/endpoint.ts";
import type { Reactor } from "../../net/reactor.ts";
import type { Transport } from "../../net/transport.ts";
import type { Fields } from "../fields.ts";
import type { RequestHead } from "../message.ts";
import type { ClientConnection, ClientConnectionOwner, ClientStream, ClientStreamHandler } from "../stream.ts";
import { streamError } from "./errors.ts";
import { fieldsToList, problem, requestToList, responseFromList, trailersFromList } from "./h2_head.ts";
import type { HttpClientOptions } from "./options.ts";

/** An HTTP/2 connection to an upstream. */
export class H2ClientConnection implements ClientConnection, H2Handler {
  readonly version = "HTTP/2";
  readonly h2: H2Connection;
  owner: ClientConnectionOwner | null = null;
  requests = 0;
  #draining = false;

  constructor(reactor: Reactor, transport: Transport, options: HttpClientOptions) {
    this.h2 = new H2Connection(reactor, transport, "client", { ...options.h2, maxFields: options.maxFields }, this);
  }

  get capacity(): number {
    return this.h2.capacity;
  }

  get streams(): number {
    return this.h2.streams;
  }

  get open(): boolean {
    return !this.h2.closed;
  }

  request(head: RequestHead, ended: boolean, handler: ClientStreamHandler): ClientStream | null {
    // A body of no bytes is no body.
    const none = (ended || head.contentLength === 0) && head.upgrade === "";
    const stream = new H2ClientStream(this, head.method, head.upgrade !== "", handler);
    if (head.upgrade !== "" && !this.h2.extendedConnect) return null;
    const h2 = this.h2.request(requestToList(head, none), none, stream);
    if (h2 === null) return null;
    h2.exchange = true;
    stream.body = h2;
    this.requests++;
    return stream;
  }

  drain(): void {
    this.#draining = true;
    this.h2.drain();
  }

  abort(): void {
    this.h2.abort();
  }

  onReady(): void {
    this.onCapacity();
  }

  onCapacity(): void {
    if (!this.#draining) this.owner?.onCapacity(this);
  }

  onGoaway(): void {
    this.onCapacity();
  }

  onClosed(error: MeshError<H2ErrorCode> | null): void {
    const owner = this.owner;
    this.owner = null;
    owner?.onClosed(
      this,
      error === null
        ? null
        : streamError(error.code === "h2_protocol" ? "protocol_error" : "reset", error.message, "upstream"),
    );
  }
}

/** A request on an HTTP/2 connection. */
export class H2ClientStream implements ClientStream, H2StreamHandler {
  body!: H2Stream;

  constructor(
    readonly connection: H2ClientConnection,
    readonly method: string,
    readonly upgrading: boolean,
    public handler: ClientStreamHandler | null,
  ) {}

  get open(): boolean {
    return this.body.open;
  }

  sendTrailers(trailers: Fields): void {
    if (!this.open || this.body.localEnded) return;
    const list = fieldsToList([], trailers);
    if (list.length > 0) this.body.trailers = list;
    this.body.finish();
  }

  reset(): void {
    if (!this.open) return;
    this.handler = null;
    this.body.partner = null;
    this.body.reset(CANCEL);
  }

  // --- H2StreamHandler

  onHeaders(stream: H2Stream, headers: HeaderFields, ended: boolean): void {
    const status = Number(fieldOf(headers, ":status"));
    if (status === 101) return stream.malformed("101 has no meaning in HTTP/2");
    const head = responseFromList(headers, this.method, ended);
    if (head === null) return stream.malformed(problem);
    if (status < 200) return this.handler?.onInformational?.(this, status, head.fields);
    if (this.upgrading && status < 300 && !ended) {
      head.status = 101;
      stream.exchange = false;
      stream.monitor = this;
    } else if (!ended && this.method !== "HEAD" && status !== 204 && status !== 304) {
      stream.expected = head.contentLength;
    } else if (!ended) stream.expected = 0;
    this.handler?.onResponse(this, head, ended);
  }

  onTrailers(_stream: H2Stream, trailers: HeaderFields): void {
    this.handler?.onTrailers?.(this, trailersFromList(trailers));
  }

  onReset(_stream: H2Stream, code: number, error: MeshError<FlowErrorCode>): void {
    const handler = this.handler;
    this.handler = null;
    handler?.onFailed(
      this,
      error === ABORTED
        ? streamError("aborted", "the request was given up", "internal")
        : code === REFUSED_STREAM
        ? streamError("refused", error.message, "upstream")
        : code === PROTOCOL_ERROR
        ? streamError("protocol_error", error.message, "upstream")
        : streamError(error.code === "closed" ? "connection_termination" : "reset", error.message, "upstream"),
    );
  }

  onEnd(): void {
    const handler = this.handler;
    this.handler = null;
    handler?.onFinished?.(this);
  }

  /** As a tunnel. */
  onEndpointDone(end: unknown, error: MeshError<FlowErrorCode> | null): void {
    const partner = this.body.partner;
    if (error === null) this.onEnd();
    else this.onReset(end as H2Stream, 0, error);
    if (error !== null && partner !== null && this.body.partner === partner) partner.abort();
  }
}
