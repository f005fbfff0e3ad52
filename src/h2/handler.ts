import type { MeshError } from "../core/errors.ts";
import type { FlowErrorCode } from "../net/endpoint.ts";
import type { HeaderFields } from "./headers.ts";
import type { H2Stream } from "./stream.ts";

/** How a connection ended other than in order. */
export type H2ErrorCode = "h2_protocol" | "h2_goaway" | "h2_ping_timeout" | FlowErrorCode;

/** What the owner of a connection is told. */
export interface H2Handler {
  /** Server: a request. Answer with `connection.respond()`; bytes flow once the stream has a partner. */
  onRequest?(stream: H2Stream, headers: HeaderFields, endStream: boolean): void;
  /** The peer's first SETTINGS have arrived: the connection is usable. */
  onReady?(): void;
  /** The number of streams we may open has changed, or a stream has ended. */
  onCapacity?(): void;
  /** Server: a request was refused before anybody saw it: malformed (400, though what is sent is RST_STREAM) or too large (431). */
  onRefused?(status: number, reason: string): void;
  /** The peer is going away: open no more streams here. */
  onGoaway?(code: number): void;
  /** The connection is over; null after an orderly end. Called once, after every stream has been told. */
  onClosed?(error: MeshError<H2ErrorCode> | null): void;
}
