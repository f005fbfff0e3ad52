// The gRPC side of istiod: 15012 (xDS and CA over TLS) and 15010 (xDS in plain text). Loaded while the first lists are under way.

import { MeshError } from "../../core/errors.ts";
import { type Authenticator, certificateAuthenticator, tokenAuthenticator } from "../../identity/authenticate.ts";
import { type CertificateAuthority, istiodDnsNames } from "../../identity/authority.ts";
import { addCaService, CaMetrics } from "../../identity/ca_service.ts";
import { closeGrpc, type grpc, listenGrpc, newGrpcServer, type ServerTls } from "../../identity/grpc.ts";
import type { PodLookup } from "../../identity/node_authorization.ts";
import type { TokenReviewer } from "../../identity/authenticate.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Registry } from "../../telemetry/metrics.ts";
import { addXdsService } from "../../xds/server/grpc_binding.ts";
import type { DebugHandler, DiscoveryServer } from "../../xds/server/server.ts";
import type { IstiodConfig } from "./config.ts";

export interface ServingOptions {
  readonly config: IstiodConfig;
  readonly logger: Logger;
  readonly discovery: DiscoveryServer;
  readonly debug: DebugHandler;
  readonly controlPlane: string;
}

/** What authenticates callers of this cluster. */
export function authenticatorsOf(
  config: IstiodConfig,
  review: TokenReviewer,
  trustDomain: () => string,
): Authenticator[] {
  const isLocal = (clusterId: string) =>
    clusterId === "" || clusterId === config.clusterId || clusterId === "Kubernetes";
  return [
    certificateAuthenticator(),
    tokenAuthenticator({
      reviewerOf: (clusterId) => isLocal(clusterId) ? review : undefined,
      audiences: config.tokenAudiences,
      trustDomain,
    }),
  ];
}

/** The CA's metrics and the ends of its certificates. */
export function caMetrics(registry: Registry, authority: () => CertificateAuthority | undefined): CaMetrics {
  const root = registry.gauge(
    "citadel_server_root_cert_expiry_timestamp",
    "The unix timestamp, in seconds, when the root cert will expire.",
  ).with();
  const chain = registry.gauge(
    "citadel_server_cert_chain_expiry_timestamp",
    "The unix timestamp, in seconds, when the cert chain will expire.",
  ).with();
  registry.onCollect(() => {
    const expiry = authority()?.expiry;
    if (!expiry) return;
    root.set(Math.floor(expiry.root.getTime() / 1000));
    chain.set(Math.floor(expiry.signing.getTime() / 1000));
  });
  return new CaMetrics(registry);
}

export interface SecureOptions extends ServingOptions {
  readonly authority: CertificateAuthority;
  readonly authenticators: readonly Authenticator[];
  readonly metrics: CaMetrics;
  readonly pods: PodLookup;
}

/** A gRPC server that listens. */
export interface GrpcServed {
  readonly port: number;
  close(graceMs: number): Promise<void>;
}

/** Serves xDS and the CA over TLS, with a certificate of the CA for istiod's own names. */
export async function serveSecure(options: SecureOptions): Promise<GrpcServed> {
  const { config, authority, authenticators, logger } = options;
  const server = newServer(config);
  addXdsService(server, { ...options, authenticators, logger: logger.child("ads") });
  addCaService(server, {
    authority,
    authenticators,
    trustedNodeAccounts: new Set(config.trustedNodeAccounts),
    // There is one cluster here, and authentication has let no other through.
    podsOf: () => options.pods,
    logger: logger.child("ca"),
    metrics: options.metrics,
  });
  // Istio's key is RSA. P-256 takes a hundredth of the time to make, and less in every handshake; every client takes both.
  const names = istiodDnsNames(config.namespace, config.revision, [...config.customHost]);
  const serving = await authority.servingCertificate(names, config.selfSignedTtlMs, { kind: "EC", curve: "P-256" });
  return await listen(server, config.listen.secureGrpc, { ...serving, clientRootsPem: authority.rootPem });
}

/** Serves xDS in plain text, to callers without identity, and no CA. */
export function servePlain(options: ServingOptions): Promise<GrpcServed> {
  const server = newServer(options.config);
  addXdsService(server, { ...options, logger: options.logger.child("ads") });
  return listen(server, options.config.listen.grpc);
}

function newServer(config: IstiodConfig): grpc.Server {
  return newGrpcServer({
    maxReceiveBytes: config.maxReceiveBytes,
    ...(config.maxConnectionAgeMs > 0 ? { maxConnectionAgeMs: config.maxConnectionAgeMs } : {}),
  });
}

async function listen(server: grpc.Server, address: string, tls?: ServerTls): Promise<GrpcServed> {
  const candidates = address.startsWith("[::]:") ? [address, address.replace("[::]", "0.0.0.0")] : [address];
  let problem: unknown;
  for (const candidate of candidates) {
    try {
      const port = await listenGrpc(server, candidate, tls);
      return { port, close: (graceMs) => closeGrpc(server, graceMs) };
    } catch (error) {
      problem = error;
    }
  }
  throw new MeshError("listen_failed", `cannot listen on "${address}"`, { cause: problem });
}
