import type { Endpoint, Reactor, SocketAddress } from "../../net/mod.ts";
import type { TlsTransport } from "../../net/tls_transport.ts";
import type { ClientConnection } from "../stream.ts";

/** A connection that is up, below HTTP: a socket or tunnel as it is, or TLS over one. */
export interface Carrier {
  /** The bare stream; null when there is TLS on top. */
  readonly endpoint: Endpoint | null;
  readonly tls: TlsTransport | null;
  readonly remote: SocketAddress;
  readonly local: SocketAddress;
}

/** Begins HTTP on a carrier. Whatever is wrong shows later, as the connection's end. */
export interface ClientCodecs {
  http1(reactor: Reactor, carrier: Carrier): ClientConnection;
  http2(reactor: Reactor, carrier: Carrier): ClientConnection;
}
