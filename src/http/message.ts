// What a request and a response are to everything above the codecs, whichever version of HTTP carries them.

import type { Fields } from "./fields.ts";

export type HttpVersion = "HTTP/1.0" | "HTTP/1.1" | "HTTP/2";

/** The head of a request. Codecs have checked it: no control characters, one authority, a method that is a token. */
export interface RequestHead {
  readonly version: HttpVersion;
  method: string;
  /** `http` or `https`; what the client says (HTTP/2) or how it came in. */
  scheme: string;
  /** Host or `:authority` as sent, port included; "" only for HTTP/1.0 without Host. */
  authority: string;
  /** Path and query as sent (`/a/b?c=d`, `*`); rewritten by filters. */
  path: string;
  /** Everything but pseudo-headers, Host and what only concerns this connection (hop-by-hop fields are taken out by the codec). */
  readonly fields: Fields;
  /** `Upgrade` (HTTP/1.1) or `:protocol` (RFC 8441), lower case: the client wants to speak this; "" otherwise. */
  upgrade: string;
  /** Length of the body when it is known beforehand; -1 otherwise. */
  readonly contentLength: number;
  /** The client waits for 100 before it sends the body. */
  readonly expectContinue: boolean;
}

/** The head of a final response. */
export interface ResponseHead {
  readonly version: HttpVersion;
  status: number;
  readonly fields: Fields;
  /** -1 when not known beforehand. */
  readonly contentLength: number;
}
