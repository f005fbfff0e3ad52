// IstioCertificateService.CreateCertificate, istiod's side.

import type { JsonObject } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { describeError, MeshError } from "../core/errors.ts";
import {
  type IstioCertificateRequest,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
  IstioCertificateService,
} from "../gen/istio/auth/ca_pb.ts";
import type { SpiffeId } from "../model/identity.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Cell, Metric, Registry } from "../telemetry/metrics.ts";
import { authenticate, type Authenticator } from "./authenticate.ts";
import type { CertificateAuthority } from "./authority.ts";
import { type CallContext, callContext, grpc, grpcError, grpcService } from "./grpc.ts";
import { authorizeImpersonation, type PodLookup } from "./node_authorization.ts";

export interface CaServiceOptions {
  readonly authority: CertificateAuthority;
  readonly authenticators: readonly Authenticator[];
  /** `CA_TRUSTED_NODE_ACCOUNTS`, as `namespace/serviceaccount`. */
  readonly trustedNodeAccounts: ReadonlySet<string>;
  /** The pod cache of a cluster ("" is the local one); undefined while it is not known. */
  readonly podsOf: (clusterId: string) => PodLookup | undefined;
  readonly logger: Logger;
  readonly metrics?: CaMetrics;
}

/** Istio's names. */
export class CaMetrics {
  readonly requests: Cell;
  readonly issued: Cell;
  readonly authenticationFailures: Cell;
  readonly signErrors: Metric<Cell>;

  constructor(registry: Registry) {
    this.requests = registry.counter("citadel_server_csr_count", "The number of CSRs received by Citadel server.")
      .with();
    this.issued = registry.counter(
      "citadel_server_success_cert_issuance_count",
      "The number of certificates issuances that have succeeded.",
    ).with();
    this.authenticationFailures = registry.counter(
      "citadel_server_authentication_failure_count",
      "The number of authentication failures.",
    ).with();
    this.signErrors = registry.counter(
      "citadel_server_csr_sign_err_count",
      "The number of errors occurred when signing the CSR.",
      ["error"],
    );
  }
}

/** What the handler answers: a reply, or the status of a refusal. Details of an authentication failure stay in the log. */
export type CaReply = IstioCertificateResponse | { readonly code: grpc.status; readonly details: string };

/** Handles one request; independent of the transport. */
export async function createCertificate(
  options: CaServiceOptions,
  call: CallContext,
  request: IstioCertificateRequest,
): Promise<CaReply> {
  const { logger, metrics, authority } = options;
  metrics?.requests.inc();
  const refuse = (details: string) => {
    metrics?.authenticationFailures.inc();
    return { code: grpc.status.UNAUTHENTICATED, details };
  };
  const caller = await authenticate(options.authenticators, call, logger);
  if (!caller) return refuse("request authenticate failure");

  let identities: readonly SpiffeId[] = caller.identities;
  const impersonated = (request.metadata as JsonObject | undefined)?.ImpersonatedIdentity;
  if (impersonated !== undefined && impersonated !== "") {
    const decision = authorizeImpersonation(
      caller.kubernetes,
      String(impersonated),
      options.trustedNodeAccounts,
      options.podsOf(caller.kubernetes?.clusterId ?? ""),
    );
    if ("denied" in decision) {
      logger.warn("impersonation refused", {
        caller: caller.identities[0],
        requested: String(impersonated).slice(0, 512),
        peer: call.peerAddress,
        reason: decision.denied,
      });
      return refuse("request impersonation authentication failure");
    }
    identities = [decision.allowed];
  }
  try {
    const certChain = authority.issue(request.csr, identities, Number(request.validityDuration) * 1000);
    metrics?.issued.inc();
    logger.debug("certificate issued", {
      identity: identities[0],
      caller: caller.identities[0],
      peer: call.peerAddress,
    });
    return create(IstioCertificateResponseSchema, { certChain });
  } catch (cause) {
    const code = cause instanceof MeshError ? cause.code : "internal";
    const callerAtFault = code === "invalid_csr" || code === "ttl_too_long";
    metrics?.signErrors.with(code).inc();
    logger.warn("certificate not signed", {
      identity: identities[0],
      peer: call.peerAddress,
      error: describeError(cause),
    });
    return callerAtFault
      ? { code: grpc.status.INVALID_ARGUMENT, details: `CSR signing error (${describeError(cause)})` }
      : { code: grpc.status.INTERNAL, details: "CSR signing error" };
  }
}

/** Adds the CA to a gRPC server. */
export function addCaService(server: grpc.Server, options: CaServiceOptions): void {
  server.addService(grpcService(IstioCertificateService), {
    CreateCertificate: (
      call: grpc.ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>,
      callback: grpc.sendUnaryData<IstioCertificateResponse>,
    ) => {
      createCertificate(options, callContext(call), call.request).then((reply) => {
        if ("code" in reply) callback(grpcError(reply.code, reply.details));
        else callback(null, reply);
      }, (cause) => {
        options.logger.error("certificate request failed", { error: describeError(cause) });
        callback(grpcError(grpc.status.INTERNAL, "internal error"));
      });
    },
  });
}
