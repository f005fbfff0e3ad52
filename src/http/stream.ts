// One request and its answer on one connection, seen from either end; the same for HTTP/1.1 and HTTP/2.
//
// The bytes of bodies never pass through here: a stream's `body` is an Endpoint (../net/endpoint.ts). The proxy joins the downstream
// stream's body with the upstream stream's, and bytes, their end and back-pressure flow by themselves.

import type { MeshError } from "../core/errors.ts";
import type { Endpoint } from "../net/endpoint.ts";
import type { SocketAddress } from "../sys/socket_address.ts";
import type { Fields } from "./fields.ts";
import type { HttpVersion, RequestHead, ResponseHead } from "./message.ts";

/** Why a stream ended before its time. */
export type StreamErrorCode =
  | "reset" // the peer reset the stream, or its connection broke, after it may have been processed
  | "refused" // HTTP/2 REFUSED_STREAM, or GOAWAY below this stream: certainly not processed
  | "connection_failure" // upstream: could not connect
  | "connection_termination" // the connection ended before the message was complete
  | "protocol_error" // the peer broke HTTP's rules
  | "overflow" // a limit of ours
  | "aborted"; // our own side gave up

export type StreamError = MeshError<StreamErrorCode>;

/** What the owner of a server stream is told. */
export interface ServerStreamHandler {
  /** Fields after the request's body; before its end is told to the body's partner. */
  onRequestTrailers?(stream: ServerStream, trailers: Fields): void;
  /**
   * The client is gone, or broke the rules: nothing more can be sent. Called at most once, never after onFinished; the body's partner is aborted
   * afterwards, unless it has been taken away by then (`body.partner = null`).
   */
  onAborted?(stream: ServerStream, error: StreamError): void;
  /** The response has been handed to the kernel whole and the request has been read (or given up). Called once unless aborted. */
  onFinished?(stream: ServerStream): void;
}

/** What a connection's owner knows of its client beyond HTTP (identity, listener); owners extend it. */
export interface ConnectionContext {
  /** What requests say of the scheme when they do not say it themselves. */
  readonly scheme: "http" | "https";
}

/** Server side: a request that came in, and its answer. */
export interface ServerStream {
  readonly connection: ServerConnection;
  readonly request: RequestHead;
  /** No body follows the request's head. */
  readonly requestEnded: boolean;
  /** Source of the request's bytes, sink of the response's. Bytes wait (bounded) until it has a partner. */
  readonly body: Endpoint;
  handler: ServerStreamHandler | null;
  readonly open: boolean;
  /** A 1xx answer (100, 103); 101 goes with {@linkcode respond}. */
  inform(status: number, fields: Fields): void;
  /**
   * Sends the head. `end`: there is no body. After 101 (or 200 to an HTTP/2 CONNECT with `:protocol`) the body carries raw bytes both ways.
   * The codec frames the body by `head.contentLength` or itself, and adds what the version needs.
   */
  respond(head: ResponseHead, end: boolean): void;
  /** A short answer made here: head, and `text` as its body. Anything unread of the request is dealt with as the version allows. */
  reply(status: number, fields: Fields, text: string): void;
  /** Ends the response's body with trailers; for HTTP/1.1 only where it is chunked, else they are dropped. */
  sendTrailers(trailers: Fields): void;
  /** Breaks the response off so that the client notices. */
  reset(error?: StreamError): void;
  /** Body bytes so far: request in, response out. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** What the owner of a client stream is told. */
export interface ClientStreamHandler {
  /** 1xx; 101 comes as the final response. */
  onInformational?(stream: ClientStream, status: number, fields: Fields): void;
  onResponse(stream: ClientStream, head: ResponseHead, ended: boolean): void;
  onTrailers?(stream: ClientStream, trailers: Fields): void;
  /**
   * Over before its time. Called at most once; the body's partner is aborted afterwards, unless it has been taken away by then
   * (`body.partner = null`), as for a retry or an answer of our own.
   */
  onFailed(stream: ClientStream, error: StreamError): void;
  /** The response is complete. Called once unless failed. */
  onFinished?(stream: ClientStream): void;
}

/** Client side: a request that was sent. */
export interface ClientStream {
  readonly body: Endpoint;
  handler: ClientStreamHandler | null;
  readonly open: boolean;
  /** Ends the request's body with trailers. */
  sendTrailers(trailers: Fields): void;
  /** Gives up, without a word to handler or partner: the other side is told where the version can, else the connection is lost. */
  reset(): void;
}

/** A connection to an upstream, either version. */
export interface ClientConnection {
  readonly version: HttpVersion;
  /** Requests that may begin now: 0 or 1 for HTTP/1.1, the peer's limit less what runs for HTTP/2. */
  readonly capacity: number;
  readonly streams: number;
  readonly open: boolean;
  /** Requests begun so far. */
  readonly requests: number;
  /** Sends a request's head; null when there is no capacity any more. */
  request(head: RequestHead, ended: boolean, handler: ClientStreamHandler): ClientStream | null;
  /** No new requests; ends when those that run have. */
  drain(): void;
  abort(): void;
  /** Told of changes: capacity gained, or the connection gone (`open` false). */
  owner: ClientConnectionOwner | null;
}

export interface ClientConnectionOwner {
  onCapacity(connection: ClientConnection): void;
  onClosed(connection: ClientConnection, error: StreamError | null): void;
}

/** A connection from a client, either version. */
export interface ServerConnection {
  readonly version: HttpVersion;
  /** As given when serving began. */
  readonly context: ConnectionContext;
  /** The client's address and the one it reached, as the transport knows them. */
  readonly remote: SocketAddress;
  readonly local: SocketAddress;
  readonly streams: number;
  readonly open: boolean;
  /** Lets what runs finish: GOAWAY, or `connection: close` with the next answer; an idle connection ends after a second, lest a request cross its end. */
  drain(): void;
  abort(): void;
}

/** Who takes requests. */
export interface RequestHandler {
  onRequest(stream: ServerStream): void;
  /** What came was no request that may be served (smuggling, limits, time-outs); the codec has answered with `status`. For logs and metrics. */
  onRefused?(connection: ServerConnection, status: number, reason: string): void;
  /** The connection is over. */
  onClosed?(connection: ServerConnection): void;
}
