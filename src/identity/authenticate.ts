// Who calls istiod on 15012: by a client certificate, or by a Kubernetes service-account token.

import { describeError } from "../core/errors.ts";
import { type SpiffeId, spiffeId } from "../model/identity.ts";
import type { Logger } from "../telemetry/logger.ts";
import { peerSpiffeIds } from "./certificate.ts";
import type { CallContext } from "./grpc.ts";
import type { Caller } from "./types.ts";

/** Establishes who made a call, or says why it does not. */
export interface Authenticator {
  readonly name: string;
  authenticate(call: CallContext): Promise<Caller | { readonly refused: string }>;
}

/** What TokenReview answers for a valid token. */
export interface ReviewedToken {
  readonly username: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** Asks a cluster about a token; undefined when it is not valid for one of the audiences. Throws when it cannot ask. */
export type TokenReviewer = (token: string, audiences: readonly string[]) => Promise<ReviewedToken | undefined>;

/** Longer tokens are refused unasked. */
const MAX_TOKEN_LENGTH = 16 * 1024;

/** A client certificate that chains to the mesh's root; TLS has verified it. */
export function certificateAuthenticator(): Authenticator {
  return {
    name: "clientCertificate",
    authenticate(call) {
      const identities: SpiffeId[] = call.peerCertificateDer ? peerSpiffeIds(call.peerCertificateDer) : [];
      if (identities.length === 0) return Promise.resolve({ refused: "no client certificate with a SPIFFE identity" });
      return Promise.resolve({ authenticator: "clientCertificate", identities });
    },
  };
}

export interface TokenAuthenticatorOptions {
  /** The reviewer of the cluster that `clusterid` names; "" is the local one. Undefined for an unknown cluster. */
  readonly reviewerOf: (clusterId: string) => TokenReviewer | undefined;
  /** `TOKEN_AUDIENCES`. */
  readonly audiences: readonly string[];
  /** The mesh's, read at each call; the token's issuer does not decide it. */
  readonly trustDomain: () => string;
}

const POD_NAME = "authentication.kubernetes.io/pod-name", POD_UID = "authentication.kubernetes.io/pod-uid";

/** A service-account token in `authorization: Bearer`, checked by TokenReview (ca.md §4). */
export function tokenAuthenticator(options: TokenAuthenticatorOptions): Authenticator {
  return {
    name: "kubernetesToken",
    async authenticate(call) {
      const token = bearerToken(call.metadata("authorization"));
      if (token === undefined) return { refused: "no bearer token" };
      if (token.length > MAX_TOKEN_LENGTH) return { refused: "the bearer token is too long" };
      const clusterId = call.metadata("clusterid")[0] ?? "";
      const review = options.reviewerOf(clusterId);
      if (!review) return { refused: `unknown cluster "${clusterId}"` };
      const reviewed = await review(token, options.audiences);
      if (!reviewed) return { refused: "the token is not valid" };
      if (!reviewed.groups.includes("system:serviceaccounts")) {
        return { refused: "the token is not a service account's" };
      }
      const parts = reviewed.username.split(":");
      if (parts.length !== 4 || parts[0] !== "system" || parts[1] !== "serviceaccount" || !parts[2] || !parts[3]) {
        return { refused: `the token's user "${reviewed.username}" is not a service account` };
      }
      const [, , namespace, serviceAccount] = parts;
      return {
        authenticator: "kubernetesToken",
        identities: [spiffeId({ trustDomain: options.trustDomain(), namespace, serviceAccount })],
        kubernetes: {
          clusterId,
          namespace,
          serviceAccount,
          podName: reviewed.extra[POD_NAME]?.[0],
          podUid: reviewed.extra[POD_UID]?.[0],
        },
      };
    },
  };
}

function bearerToken(values: readonly string[]): string | undefined {
  const value = values.find((candidate) => /^bearer /i.test(candidate));
  const token = value?.slice("bearer ".length).trim();
  return token === "" ? undefined : token;
}

/**
 * Asks authenticators in order; the first that knows the caller decides.
 *
 * @returns undefined when none does; the reasons are logged, not told to the caller
 */
export async function authenticate(
  authenticators: readonly Authenticator[],
  call: CallContext,
  logger?: Logger,
): Promise<Caller | undefined> {
  const reasons: string[] = [];
  for (const authenticator of authenticators) {
    try {
      const result = await authenticator.authenticate(call);
      if (!("refused" in result)) return result;
      reasons.push(`${authenticator.name}: ${result.refused}`);
    } catch (cause) {
      reasons.push(`${authenticator.name}: ${describeError(cause)}`);
    }
  }
  logger?.warn("authentication failed", { peer: call.peerAddress, reasons: reasons.join("; ") });
  return undefined;
}
