import { PlainTransport } from "../../net/plain_transport.ts";
import type { Reactor } from "../../net/mod.ts";
import { connectHttp1, connectHttp2 } from "../codec/connect.ts";
import type { ClientConnection } from "../stream.ts";
import type { Carrier, ClientCodecs } from "./codecs.ts";

function begin(reactor: Reactor, carrier: Carrier, connect: typeof connectHttp1): ClientConnection {
  if (carrier.tls !== null) return connect(reactor, carrier.tls);
  const transport = new PlainTransport(reactor, carrier.endpoint!, carrier.remote, carrier.local);
  const connection = connect(reactor, transport);
  transport.begin();
  return connection;
}

/** The codecs of ../codec. */
export const defaultCodecs: ClientCodecs = {
  http1: (reactor, carrier) => begin(reactor, carrier, connectHttp1),
  http2: (reactor, carrier) => begin(reactor, carrier, connectHttp2),
};
