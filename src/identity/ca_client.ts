// The CA's client side: a fresh key and CSR for an identity, sent to `CA_ADDRESS`, answered by a certificate chain.

import { create } from "@bufbuild/protobuf";
import { describeError, MeshError } from "../core/errors.ts";
import {
  type IstioCertificateRequest,
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
  IstioCertificateService,
} from "../gen/istio/auth/ca_pb.ts";
import type { SpiffeId } from "../model/identity.ts";
import { parseCertificate, peerSpiffeIds } from "./certificate.ts";
import { callMetadata, type ControlPlaneOptions, openChannel, readRoots } from "./control_plane.ts";
import { createCsr } from "./csr.ts";
import { grpc, grpcMethod } from "./grpc.ts";
import type { KeyPair } from "./keys.ts";
import { certificatesOf, encodePem } from "./pem.ts";
import type { CertificateSource, WorkloadCertificate } from "./types.ts";

export type CaClientErrorCode = "ca_unavailable" | "ca_refused" | "ca_bad_reply";

export interface CaClientOptions extends ControlPlaneOptions {
  /** Lifetime to ask for (`SECRET_TTL`). */
  readonly ttlMs: number;
  /** Whether the identity asked for differs from the caller's own: a shared ztunnel's way. */
  readonly impersonate: boolean;
  readonly timeoutMs?: number;
}

const MAX_REPLY_BYTES = 1024 * 1024;

/**
 * Calls that one connection carries. Deno 2.9's HTTP/2 (nghttp2, denoland/deno#36788) ends the whole process, on either side, when
 * GOAWAY comes on a connection that has had more than some two dozen streams: ztunnel when istiod is rolled, istiod when ztunnel goes.
 */
const CALLS_PER_CONNECTION = 8;

interface Channel {
  readonly roots: string;
  readonly client: grpc.Client;
  calls: number;
  inFlight: number;
  /** No new calls; closed with its last one. */
  retired: boolean;
}

/** Fetches workload certificates. A channel is kept for some calls; it is made anew when the root file's content has changed. */
export class CaClient implements CertificateSource {
  readonly #options: CaClientOptions;
  readonly #method = grpcMethod(IstioCertificateService.method.createCertificate);
  #channel: Channel | undefined;

  constructor(options: CaClientOptions) {
    this.#options = options;
  }

  /**
   * A certificate for `id` with a fresh key.
   *
   * @throws MeshError `ca_unavailable` (worth a retry), `ca_refused`, `ca_bad_reply`, and those of reading root and token
   */
  async fetch(id: SpiffeId, signal?: AbortSignal): Promise<WorkloadCertificate> {
    const [{ csrPem, keys }, roots, metadata] = await Promise.all([
      createCsr(id),
      readRoots(this.#options),
      callMetadata(this.#options),
    ]);
    const request = create(IstioCertificateRequestSchema, {
      csr: csrPem,
      validityDuration: BigInt(Math.round(this.#options.ttlMs / 1000)),
      metadata: this.#options.impersonate ? { ImpersonatedIdentity: id } : undefined,
    });
    const channel = this.#connect(roots);
    channel.calls++;
    channel.inFlight++;
    try {
      const reply = await this.#call(id, channel.client, request, metadata, signal);
      return readReply(id, keys, reply.certChain);
    } finally {
      channel.inFlight--;
      if (channel.retired && channel.inFlight === 0) channel.client.close();
    }
  }

  close(): void {
    this.#channel?.client.close();
    this.#channel = undefined;
  }

  #connect(roots: string): Channel {
    const channel = this.#channel;
    if (channel?.roots === roots && channel.calls < CALLS_PER_CONNECTION) return channel;
    if (channel) {
      channel.retired = true;
      if (channel.inFlight === 0) channel.client.close();
    }
    const client = openChannel(this.#options, roots, MAX_REPLY_BYTES);
    return this.#channel = { roots, client, calls: 0, inFlight: 0, retired: false };
  }

  #call(
    id: SpiffeId,
    client: grpc.Client,
    request: IstioCertificateRequest,
    metadata: grpc.Metadata,
    signal?: AbortSignal,
  ): Promise<IstioCertificateResponse> {
    const { path, requestSerialize, responseDeserialize } = this.#method;
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + (this.#options.timeoutMs ?? 10_000);
      const abort = () => call.cancel();
      const call = client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        { deadline },
        (error, reply) => {
          signal?.removeEventListener("abort", abort);
          if (!error && reply) return resolve(reply);
          // The next attempt connects at once, on a channel of its own.
          if (error?.code === grpc.status.UNAVAILABLE && this.#channel?.client === client) this.close();
          reject(callError(id, this.#options.address, error));
        },
      );
      signal?.addEventListener("abort", abort);
      if (signal?.aborted) abort();
    });
  }
}

function callError(id: SpiffeId, address: string, error: grpc.ServiceError | null): MeshError<CaClientErrorCode> {
  const status = error?.code ?? grpc.status.INTERNAL;
  const refused = [grpc.status.UNAUTHENTICATED, grpc.status.PERMISSION_DENIED, grpc.status.INVALID_ARGUMENT].includes(
    status,
  );
  // A refusal may be a race with istiod's pod cache, so it is worth another try as well.
  return new MeshError<CaClientErrorCode>(
    refused ? "ca_refused" : "ca_unavailable",
    `cannot get a certificate for "${id}" from "${address}": ${grpc.status[status]}: ${
      error?.details || describeError(error)
    }`,
    { source: "upstream", retryable: true },
  );
}

/**
 * Reads the CA's reply: first the leaf, last the roots, between them intermediates (ca.md §1).
 *
 * @throws MeshError `ca_bad_reply` when there is no root, or the leaf is not for `id` and this key
 */
export function readReply(id: SpiffeId, keys: KeyPair, chain: readonly string[]): WorkloadCertificate {
  const fail = (why: string, cause?: unknown) =>
    new MeshError<CaClientErrorCode>("ca_bad_reply", `cannot use the certificate for "${id}": ${why}`, {
      source: "upstream",
      retryable: true,
      cause,
    });
  if (chain.length < 2) throw fail(`the reply holds ${chain.length} certificates and no root`);
  try {
    const leaves = certificatesOf(chain[0]), roots = certificatesOf(chain[chain.length - 1]);
    const intermediates = chain.slice(1, -1).flatMap(certificatesOf);
    if (leaves.length !== 1 || roots.length === 0) throw fail("its leaf or its root is not PEM");
    const leaf = parseCertificate(leaves[0]);
    const first = peerSpiffeIds(leaf.der)[0];
    if (first !== id) throw fail(`it names "${first ?? "nobody"}"`);
    if (
      leaf.publicKey.length !== keys.publicKey.length || leaf.publicKey.some((byte, i) => byte !== keys.publicKey[i])
    ) {
      throw fail("it is for another key");
    }
    const pem = (ders: readonly Uint8Array[]) => ders.map((der) => encodePem("CERTIFICATE", der)).join("");
    return {
      id,
      chainPem: pem([leaf.der, ...intermediates]),
      keyPem: keys.keyPem,
      rootsPem: pem(roots),
      leafDer: leaf.der,
      notBefore: leaf.notBefore,
      notAfter: leaf.notAfter,
      serial: leaf.serial.toString(),
    };
  } catch (cause) {
    if (cause instanceof MeshError && cause.code === "ca_bad_reply") throw cause;
    throw fail("it is malformed", cause);
  }
}
