import { H2Connection } from "../h2/connection.ts";
import type { H2Handler } from "../h2/handler.ts";
import { fieldOf } from "../h2/headers.ts";
import { type H2Options, HBONE_CLIENT_OPTIONS } from "../h2/options.ts";
import type { H2Stream } from "../h2/stream.ts";
import type { SpiffeId } from "../model/identity.ts";
import type { MeshError } from "../core/errors.ts";
import type { Reactor } from "../net/reactor.ts";
import { TlsStream } from "../net/tls_stream.ts";
import type { TlsTransport } from "../net/tls_transport.ts";
import { hboneError } from "./errors.ts";
import { idsOf, serverProblem, tlsContextOf } from "./identity.ts";
import {
  asHboneStream,
  type HboneConnectCallback,
  type HboneError,
  type HbonePeer,
  type HboneStream,
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

/** The inner hop of double HBONE: no address, for its bytes travel in the outer tunnel. */
export type InnerTarget = Pick<HboneTarget, "certificate" | "expectedIds" | "authority" | "headers">;

/**
 * Opens a second, complete HBONE connection inside a tunnel (east-west gateways) and one CONNECT on it. It is never shared, or a
 * single remote backend would get everything; it ends with its stream. The outer tunnel belongs to it from now on.
 */
export function openInnerTunnel(
  reactor: Reactor,
  outer: HboneStream,
  target: InnerTarget,
  timeoutMs: number,
  callback: HboneConnectCallback,
): PendingRequest {
  let connection: H2Connection | null = null;
  let request: PendingRequest | undefined;
  let answered = false;
  const answer: HboneConnectCallback = (error, stream) => {
    if (answered) return;
    answered = true;
    timer.cancel();
    callback(error, stream);
    if (error !== null) end();
  };
  const end = () => {
    if (connection !== null) connection.close();
    else if (transport.open) transport.abort();
    else outer.abort();
  };
  const timer = reactor.setTimer(timeoutMs, () => {
    request?.cancel();
    answer(hboneError("connect_timeout", `no inner tunnel to "${target.authority}" within ${timeoutMs} ms`), null);
  });
  const { address } = outer.peer;
  const context = tlsContextOf(target.certificate, "client");
  const transport: TlsStream = new TlsStream(reactor, outer, context, address, address, timeoutMs, (problem) => {
    if (problem !== null) return answer(hboneError("tls_failure", problem.message, { cause: problem }), null);
    const result = beginClient(reactor, transport, target.expectedIds, {
      onReady: () => {
        if (!answered) request = openTunnel(connection!, target, answer);
      },
      onCapacity: () => {
        if (answered && connection!.streams === 0) connection!.drain();
      },
      onClosed: (cause) => {
        answer(
          hboneError("h2_handshake_failure", `the inner connection to "${target.authority}" ended`, { cause }),
          null,
        );
      },
    });
    if (!(result instanceof H2Connection)) return answer(result, null);
    connection = result;
  });
  return {
    cancel() {
      if (answered) return;
      answered = true;
      timer.cancel();
      request?.cancel();
      end();
    },
  };
}
