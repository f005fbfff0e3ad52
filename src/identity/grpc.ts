// Joins protobuf-es descriptors to grpc-js, and makes the servers that istiod listens with.

import { Buffer } from "node:buffer";
import * as grpc from "@grpc/grpc-js";
import { type DescMessage, type DescMethod, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import { MeshError } from "../core/errors.ts";
import { closeSessionsLater } from "./http2_goaway.ts";

closeSessionsLater();

/** Already serialised messages pass through {@linkcode grpcMethod}'s serialiser unchanged. */
export class Encoded {
  constructor(readonly bytes: Uint8Array) {}
}

function serialize(schema: DescMessage): (message: any) => Buffer {
  return (message) => {
    const bytes = message instanceof Encoded ? message.bytes : toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

/** The grpc-js form of one method. */
export function grpcMethod(method: DescMethod): grpc.MethodDefinition<any, any> {
  const kind = method.methodKind;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: kind === "client_streaming" || kind === "bidi_streaming",
    responseStream: kind === "server_streaming" || kind === "bidi_streaming",
    requestSerialize: serialize(method.input),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: serialize(method.output),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

/** The grpc-js form of a service, for `server.addService`. */
export function grpcService(service: DescService): grpc.ServiceDefinition {
  return Object.fromEntries(service.methods.map((method) => [method.name, grpcMethod(method)]));
}

/** The `:authority`-independent view of a call that authenticators need. */
export interface CallContext {
  /** Values of a metadata key, lower case, as text. */
  metadata(name: string): string[];
  /** The client's certificate, present only when it was verified against the roots of the port. */
  readonly peerCertificateDer?: Uint8Array;
  /** `ip:port`. */
  readonly peerAddress: string;
}

type ServerCall = Pick<grpc.ServerUnaryCall<unknown, unknown>, "metadata" | "getPeer" | "getAuthContext">;

export function callContext(call: ServerCall): CallContext {
  return {
    metadata: (name) => call.metadata.get(name).map(String),
    peerCertificateDer: call.getAuthContext().sslPeerCertificate?.raw,
    peerAddress: call.getPeer(),
  };
}

/** TLS of a server port; client certificates are asked for, optional, and verified against `clientRootsPem`. */
export interface ServerTls {
  readonly chainPem: string;
  readonly keyPem: string;
  readonly clientRootsPem: string;
}

export interface GrpcServerOptions {
  /** Longest request message; istiod's default is 4 MiB. */
  readonly maxReceiveBytes?: number;
  /** Connections are asked to leave after this; infinite by default, as istiod's. */
  readonly maxConnectionAgeMs?: number;
  /** Concurrent streams a connection may have. */
  readonly maxStreams?: number;
}

/** A server with istiod's keepalive: a ping after 30 s of quiet, 10 s for its answer. */
export function newGrpcServer(options: GrpcServerOptions = {}): grpc.Server {
  return new grpc.Server({
    "grpc.max_receive_message_length": options.maxReceiveBytes ?? 4 * 1024 * 1024,
    "grpc.max_concurrent_streams": options.maxStreams ?? 1000,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    ...(options.maxConnectionAgeMs
      ? { "grpc.max_connection_age_ms": options.maxConnectionAgeMs, "grpc.max_connection_age_grace_ms": 10_000 }
      : {}),
  });
}

/** The TLS of a listening server, replaceable while it runs. */
export interface ServerTlsHandle {
  readonly credentials: grpc.ServerCredentials;
  /** New connections are served with `tls`; those that exist stay as they are. */
  replace(tls: ServerTls): void;
}

/**
 * Binds a server to `host:port` (port 0: any) and starts it.
 *
 * @param tls undefined serves plaintext, as istiod's 15010
 * @returns the port
 * @throws MeshError `listen_failed`
 */
export function listenGrpc(server: grpc.Server, address: string, tls?: ServerTls | ServerTlsHandle): Promise<number> {
  const credentials = tls === undefined
    ? grpc.ServerCredentials.createInsecure()
    : ("credentials" in tls ? tls : serverTls(tls)).credentials;
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (cause, port) => {
      if (cause) reject(new MeshError("listen_failed", `cannot listen for gRPC on "${address}"`, { cause }));
      else resolve(port);
    });
  });
}

/** What grpc-js keeps to itself and this needs; checked by tests, since the lock file pins the version. */
interface CredentialsInternals {
  _getConstructorOptions(): object;
  updateSecureContextOptions(options: { ca: Buffer; cert: Buffer[]; key: Buffer[] }): void;
}

/** TLS for {@linkcode listenGrpc} whose certificate can be replaced. */
export function serverTls(tls: ServerTls): ServerTlsHandle {
  const pair = { private_key: Buffer.from(tls.keyPem), cert_chain: Buffer.from(tls.chainPem) };
  const credentials = grpc.ServerCredentials.createSsl(Buffer.from(tls.clientRootsPem), [pair], false);
  const inner = credentials as unknown as CredentialsInternals,
    original = inner._getConstructorOptions.bind(credentials);
  // grpc-js can demand a client certificate or not ask for one; istiod asks and takes no for an answer. A certificate that
  // does not verify counts as none: getAuthContext() shows only those of authorised sockets.
  inner._getConstructorOptions = () => ({ ...original(), requestCert: true, rejectUnauthorized: false });
  return {
    credentials,
    replace: ({ chainPem, keyPem, clientRootsPem }) =>
      inner.updateSecureContextOptions({
        ca: Buffer.from(clientRootsPem),
        cert: [Buffer.from(chainPem)],
        key: [Buffer.from(keyPem)],
      }),
  };
}

/** Ends a server: calls may finish within `graceMs`, then everything is closed. */
export function closeGrpc(server: grpc.Server, graceMs = 0): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, graceMs);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** An error that grpc-js turns into this status. */
export function grpcError(code: grpc.status, details: string): Partial<grpc.StatusObject> {
  return { code, details };
}

export { grpc };
