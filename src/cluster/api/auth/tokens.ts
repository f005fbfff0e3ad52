import { createHash, type KeyObject, sign, verify } from "node:crypto";
import { ApiError } from "../../api_error.ts";
import { CLUSTER_NETWORK, type TokenIssuer } from "../../contracts.ts";
import type { ObjectStore } from "../../store/store.ts";
import type { UserInfo } from "../context.ts";
import { timestamp } from "../metadata.ts";

export const ISSUER = `https://kubernetes.default.svc.${CLUSTER_NETWORK.clusterDomain}`;
/** Audiences of tokens that the API server itself takes. */
export const API_AUDIENCES = [ISSUER];

const MIN_LIFETIME_S = 600;
const MAX_LIFETIME_S = 2 ** 32;
const TOKEN_LIMIT = 16 * 1024;
const CLOCK_SKEW_S = 1;
/** How many tokens are remembered whose signature has been checked. */
const REMEMBERED = 512;

export interface VerifiedToken {
  user: UserInfo;
  audiences: string[];
}

/** Why a token is refused; the text is what TokenReview reports. */
export class TokenRejected extends Error {}

/** Issues and checks service-account tokens: JWTs signed with ES256 by the cluster's key. */
export class ServiceAccountTokens implements TokenIssuer {
  readonly #key: KeyObject;
  readonly #publicKey: KeyObject;
  readonly #keyId: string;
  readonly #store: ObjectStore;
  readonly #now: () => number;
  /** Tokens with a good signature, the oldest first: clients send theirs with every request. */
  readonly #signed = new Set<string>();

  constructor(key: KeyObject, publicKey: KeyObject, store: ObjectStore, now: () => number) {
    this.#key = key;
    this.#publicKey = publicKey;
    this.#keyId = createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("base64url");
    this.#store = store;
    this.#now = now;
  }

  issue(request: Parameters<TokenIssuer["issue"]>[0]): ReturnType<TokenIssuer["issue"]> {
    return Promise.try(() => this.issueNow(request));
  }

  /** As {@linkcode issue}, without a promise. @throws {ApiError} where the account or the pod is not there */
  issueNow(request: Parameters<TokenIssuer["issue"]>[0]): { token: string; expirationTimestamp: string } {
    const { namespace, serviceAccount, pod, node } = request;
    const account = this.#store.get("/serviceaccounts", namespace, serviceAccount);
    if (!account) throw ApiError.notFound("serviceaccounts", "", serviceAccount);
    if (pod) {
      const found = this.#store.get("/pods", namespace, pod.name);
      if (!found) throw ApiError.notFound("pods", "", pod.name);
      if (pod.uid && found.metadata.uid !== pod.uid) {
        throw new ApiError(
          409,
          "Conflict",
          `Operation cannot be fulfilled on pods "${pod.name}": the UID in the bound object reference (${pod.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
        );
      }
      if (found.spec?.serviceAccountName !== serviceAccount) {
        throw ApiError.badRequest(
          `cannot bind token for serviceaccount "${serviceAccount}" to pod running with different serviceaccount name.`,
        );
      }
    }
    const now = Math.floor(this.#now() / 1000);
    const lifetime = Math.min(Math.max(request.expirationSeconds, MIN_LIFETIME_S), MAX_LIFETIME_S);
    const claims = {
      aud: request.audiences.length > 0 ? request.audiences : API_AUDIENCES,
      exp: now + lifetime,
      iat: now,
      iss: ISSUER,
      jti: crypto.randomUUID(),
      "kubernetes.io": {
        namespace,
        ...(node ? { node } : {}),
        ...(pod ? { pod } : {}),
        serviceaccount: { name: serviceAccount, uid: account.metadata.uid },
      },
      nbf: now,
      sub: `system:serviceaccount:${namespace}:${serviceAccount}`,
    };
    return { token: this.#sign(claims), expirationTimestamp: timestamp((now + lifetime) * 1000) };
  }

  /**
   * Checks signature, times, audience, and that the account and the pod it is bound to are still there.
   *
   * @param audiences one of these must be among the token's
   * @throws {TokenRejected}
   */
  verify(token: string, audiences: string[] = API_AUDIENCES): VerifiedToken {
    if (token.length > TOKEN_LIMIT) throw new TokenRejected("token is too long");
    const parts = token.split(".");
    if (parts.length !== 3) throw new TokenRejected("token is not a JWT");
    const header = decodePart(parts[0]);
    if (header.alg !== "ES256") throw new TokenRejected(`token has an unknown signing algorithm`);
    if (!this.#isSigned(token, parts)) throw new TokenRejected("invalid bearer token, token signature is invalid");
    const claims = decodePart(parts[1]);
    const now = this.#now() / 1000;
    if (claims.iss !== ISSUER) throw new TokenRejected("token has another issuer");
    if (typeof claims.exp !== "number" || now > claims.exp + CLOCK_SKEW_S) throw new TokenRejected("token has expired");
    if (typeof claims.nbf === "number" && now + CLOCK_SKEW_S < claims.nbf) {
      throw new TokenRejected("token is not valid yet");
    }
    const tokenAudiences: string[] = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
    const shared = audiences.filter((audience) => tokenAudiences.includes(audience));
    if (shared.length === 0) {
      throw new TokenRejected(
        `token audiences ${JSON.stringify(tokenAudiences)} is invalid for the target audiences ${
          JSON.stringify(audiences)
        }`,
      );
    }
    return { user: this.#userOf(claims), audiences: shared };
  }

  #isSigned(token: string, [header, claims, end]: string[]): boolean {
    if (this.#signed.has(token)) return true;
    const signature = decodeBytes(end);
    const key = { key: this.#publicKey, dsaEncoding: "ieee-p1363" } as const;
    const valid = signature.length === 64 &&
      verify("sha256", new TextEncoder().encode(`${header}.${claims}`), key, signature);
    if (valid) {
      if (this.#signed.size >= REMEMBERED) this.#signed.delete(this.#signed.values().next().value!);
      this.#signed.add(token);
    }
    return valid;
  }

  #userOf(claims: any): UserInfo {
    const bound = claims["kubernetes.io"] ?? {};
    const { namespace, serviceaccount, pod, node } = bound;
    const account = serviceaccount && this.#store.get("/serviceaccounts", namespace, serviceaccount.name);
    if (!account || account.metadata.uid !== serviceaccount.uid) {
      throw new TokenRejected("service account has been deleted or recreated");
    }
    const extra: Record<string, string[]> = {
      "authentication.kubernetes.io/credential-id": [`JTI=${claims.jti}`],
    };
    if (pod) {
      const found = this.#store.get("/pods", namespace, pod.name);
      if (!found || found.metadata.uid !== pod.uid) {
        throw new TokenRejected("the pod the token is bound to has been deleted");
      }
      extra["authentication.kubernetes.io/pod-name"] = [pod.name];
      extra["authentication.kubernetes.io/pod-uid"] = [pod.uid];
    }
    if (node) {
      extra["authentication.kubernetes.io/node-name"] = [node.name];
      extra["authentication.kubernetes.io/node-uid"] = [node.uid];
    }
    return {
      name: `system:serviceaccount:${namespace}:${serviceaccount.name}`,
      uid: serviceaccount.uid,
      groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
      extra,
    };
  }

  /** The keys that others check tokens with, as `/openid/v1/jwks` serves them. */
  jwks(): unknown {
    const { kty, crv, x, y } = this.#publicKey.export({ format: "jwk" }) as Record<string, string>;
    return { keys: [{ use: "sig", kty, kid: this.#keyId, crv, alg: "ES256", x, y }] };
  }

  #sign(claims: unknown): string {
    const header = { alg: "ES256", kid: this.#keyId };
    const body = `${encodePart(header)}.${encodePart(claims)}`;
    const signature = sign("sha256", new TextEncoder().encode(body), { key: this.#key, dsaEncoding: "ieee-p1363" });
    return `${body}.${new Uint8Array(signature).toBase64({ alphabet: "base64url", omitPadding: true })}`;
  }
}

function encodePart(value: unknown): string {
  return new TextEncoder().encode(JSON.stringify(value)).toBase64({ alphabet: "base64url", omitPadding: true });
}

function decodeBytes(text: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(text, { alphabet: "base64url" });
  } catch {
    throw new TokenRejected("token is not a JWT");
  }
}

function decodePart(text: string): any {
  try {
    const value = JSON.parse(new TextDecoder().decode(decodeBytes(text)));
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Reported below.
  }
  throw new TokenRejected("token is not a JWT");
}
