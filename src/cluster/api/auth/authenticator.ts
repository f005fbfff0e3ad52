import { timingSafeEqual, X509Certificate } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import type { UserInfo } from "../context.ts";
import { unauthorized } from "../errors.ts";
import { type ServiceAccountTokens, TokenRejected } from "./tokens.ts";

const ANONYMOUS: UserInfo = Object.freeze({ name: "system:anonymous", groups: ["system:unauthenticated"] });
const AUTHENTICATED = "system:authenticated";

export interface AuthenticatorOptions {
  /** Authority of client certificates. */
  caPem: string;
  adminToken: string;
  tokens: ServiceAccountTokens;
  now(): number;
}

/** Finds out who sends a request: client certificate, bearer token, or nobody. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #ca: X509Certificate;
  /** Identities of connections by their certificates; false for certificates that are not ours. */
  readonly #sockets = new WeakMap<object, UserInfo | false>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#ca = new X509Certificate(options.caPem);
  }

  /** @throws {ApiError} 401 for credentials that do not hold */
  authenticate(request: IncomingMessage): UserInfo {
    const header = request.headers.authorization;
    if (header !== undefined && /^bearer /i.test(header)) return this.byToken(header.slice(7).trim());
    const protocol = webSocketToken(request);
    if (protocol !== undefined) return this.byToken(protocol);
    return this.#byCertificate(request.socket as TLSSocket) ?? ANONYMOUS;
  }

  /** @throws {ApiError} 401 */
  byToken(token: string): UserInfo {
    if (sameText(token, this.#options.adminToken)) {
      return { name: "kubernetes-admin", groups: ["system:masters", AUTHENTICATED] };
    }
    try {
      return this.#options.tokens.verify(token).user;
    } catch (error) {
      if (error instanceof TokenRejected) throw unauthorized();
      throw error;
    }
  }

  #byCertificate(socket: TLSSocket): UserInfo | undefined {
    let user = this.#sockets.get(socket);
    if (user === undefined) {
      const der = socket.getPeerCertificate?.()?.raw;
      if (!der) return undefined;
      user = this.#verifyCertificate(der);
      this.#sockets.set(socket, user);
    }
    if (user === false) throw unauthorized();
    return user;
  }

  #verifyCertificate(der: Uint8Array): UserInfo | false {
    try {
      const certificate = new X509Certificate(der);
      const now = this.#options.now();
      const valid = certificate.checkIssued(this.#ca) && certificate.verify(this.#ca.publicKey) && !certificate.ca &&
        certificate.validFromDate.getTime() <= now && now <= certificate.validToDate.getTime();
      if (!valid) return false;
      const names = certificate.subject.split("\n").map((part) => {
        const equals = part.indexOf("=");
        return [part.slice(0, equals), part.slice(equals + 1)];
      });
      const name = names.find(([key]) => key === "CN")?.[1];
      if (!name) return false;
      return { name, groups: [...names.filter(([key]) => key === "O").map(([, value]) => value), AUTHENTICATED] };
    } catch {
      return false;
    }
  }
}

const TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io.";

/** Browsers cannot set headers of a WebSocket: the token may come as a subprotocol. */
function webSocketToken(request: IncomingMessage): string | undefined {
  const offered = request.headers["sec-websocket-protocol"];
  const protocol = offered?.split(",").map((part) => part.trim()).find((part) => part.startsWith(TOKEN_PROTOCOL));
  if (!protocol) return undefined;
  try {
    const bytes = Uint8Array.fromBase64(protocol.slice(TOKEN_PROTOCOL.length), { alphabet: "base64url" });
    return new TextDecoder().decode(bytes);
  } catch {
    throw unauthorized();
  }
}

function sameText(a: string, b: string): boolean {
  const left = new TextEncoder().encode(a);
  const right = new TextEncoder().encode(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
