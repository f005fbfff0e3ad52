import { H2Connection, type H2Handler } from "../h2/connection.ts";
import { fieldOf } from "../h2/headers.ts";
import { type H2Options, HBONE_CLIENT_OPTIONS } from "../h2/options.ts";
import type { H2Stream } from "../h2/stream.ts";
import type { SpiffeId } from "../model/identity.ts";
import type { MeshError } from "../core/errors.ts";
import type { Reactor } from "../net/reactor.ts";
import type { TlsTransport } from "../net/tls_transport.ts";
import { hboneError } from "./errors.ts";
import { idsOf, serverProblem } from "./identity.ts";
import {
  asHboneStream,
  type HboneConnectCallback,
  type HboneError,
  type HbonePeer,
  type HboneTarget,
} from "./types.ts";

/** Checks who answered, and begins HTTP/2; the error says why not, in which case the transport is gone. */
export function beginClient(
  reactor: Reactor,
  transport: TlsTransport,
  expected: readonly SpiffeId[],
  handler: H2Handler,
  options: Partial<H2Options> = {},
): H2Connection | HboneError {
  const ids = idsOf(transport.peer);
  const problem = serverProblem(ids, expected);
  if (problem !== undefined) {
    const at = `${transport.remote.address}:${transport.remote.port}`;
    transport.abort();
    return hboneError("identity_mismatch", `cannot trust "${at}": ${problem}`, { peerIds: ids });
  }
  const peer: HbonePeer = {
    ids,
    address: transport.remote,
    tls: { version: transport.peer.version, cipher: transport.peer.cipher },
    leafDer: transport.peer.leafDer,
  };
  const connection = new H2Connection(reactor, transport, "client", { ...HBONE_CLIENT_OPTIONS, ...options }, handler);
  connection.peer = peer;
  return connection;
}

/** A CONNECT that waits for its answer. */
export interface PendingRequest {
  /** Gives up: the stream is reset and the callback is not called. */
  cancel(): void;
}

/** Opens a CONNECT stream; undefined when the connection takes no more. */
export function openTunnel(
  connection: H2Connection,
  target: Pick<HboneTarget, "authority" | "headers">,
  callback: HboneConnectCallback,
): PendingRequest | undefined {
  let waiting = true;
  const answer = (error: HboneError | null, stream: H2Stream | null) => {
    if (!waiting) return;
    waiting = false;
    callback(error, stream === null ? null : asHboneStream(stream));
  };
  const headers: [string, string][] = [[":method", "CONNECT"], [":authority", target.authority]];
  for (const [name, value] of target.headers) headers.push([name, value]);
  const stream = connection.request(headers, false, {
    onHeaders(stream, response, endStream) {
      const status = Number(fieldOf(response, ":status"));
      if (status < 200) return;
      stream.handler = null;
      if (status === 200 && !endStream) return answer(null, stream);
      stream.close();
      answer(
        hboneError("http_status", `CONNECT to "${target.authority}" failed: http status: ${status}`, { status }),
        null,
      );
    },
    onReset(_stream, _code, error: MeshError) {
      answer(hboneError("stream_reset", `CONNECT to "${target.authority}" failed`, { cause: error }), null);
    },
  });
  if (stream === null) return undefined;
  return {
    cancel() {
      if (!waiting) return;
      waiting = false;
      stream.handler = null;
      stream.abort();
    },
  };
}
