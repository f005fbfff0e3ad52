import type { Reactor } from "../../net/reactor.ts";
import type { Transport } from "../../net/transport.ts";
import type { ClientConnection } from "../stream.ts";
import { H1ClientConnection } from "./h1_client.ts";
import { H2ClientConnection } from "./h2_client.ts";
import { HTTP_CLIENT_OPTIONS, type HttpClientOptions } from "./options.ts";

/** Speaks HTTP/1.1 on a transport that is connected (TLS done); usable at once. A `PlainTransport` is begun by its owner afterwards. */
export function connectHttp1(
  reactor: Reactor,
  transport: Transport,
  options: HttpClientOptions = HTTP_CLIENT_OPTIONS,
): ClientConnection {
  return new H1ClientConnection(reactor, transport, options);
}

/**
 * Speaks HTTP/2 with prior knowledge, or after ALPN chose it; `capacity` is 100 until the peer says otherwise. A request with an upgrade is
 * refused (null) unless the peer takes extended CONNECT.
 */
export function connectHttp2(
  reactor: Reactor,
  transport: Transport,
  options: HttpClientOptions = HTTP_CLIENT_OPTIONS,
): ClientConnection {
  return new H2ClientConnection(reactor, transport, options);
}
