// What L7 authorization looks at, and what it decides.

import type { IpBits } from "../core/ip.ts";
import type { Identity, L7Policy } from "../model/mod.ts";

/** What is known about the connection that a request, or bytes of TCP, came on. */
export interface L7ConnectionFacts {
  /** By mutual TLS; undefined when the peer came without, or with a certificate that names no workload. */
  readonly identity: Identity | undefined;
  /** `trust-domain/ns/NAMESPACE/sa/ACCOUNT`, or "". */
  readonly principal: string;
  /** A verified certificate of any name: what the principal `*` asks for. */
  readonly authenticated: boolean;
  /** The connection's peer. */
  readonly peerIp: IpBits | undefined;
  readonly localIp: IpBits | undefined;
  /** The destination's port as the client addressed it. */
  readonly localPort: number;
  /** "" without TLS or SNI. */
  readonly sni: string;
}

/** What is known about a request. */
export interface L7RequestFacts {
  readonly connection: L7ConnectionFacts;
  readonly method: string;
  /** Normalised, without query. */
  readonly path: string;
  /** As sent, port included. */
  readonly authority: string;
  /** The original client by X-Forwarded-For as far as it is trusted; the peer otherwise. */
  readonly remoteIp: IpBits | undefined;
  /**
   * The values of a header, one for each line; empty when absent. Names are in lower case; `:method`, `:path` (with its query), `:scheme` and
   * `:authority` (also as `host`) are headers, too.
   */
  headerValues(name: string): readonly string[];
}

/** The rule that matched. */
export interface L7MatchPlace {
  readonly policy: L7Policy;
  readonly rule: number;
}

export type L7DecisionCode = "denied_by_policy" | "no_allow_matched" | "allowed_by_policy" | "allowed_by_default";

/** The outcome of L7 authorization: a value with its reason, whichever way it went. */
export interface L7Decision {
  readonly allowed: boolean;
  readonly code: L7DecisionCode;
  /** Envoy's response code details of a refusal: `rbac_access_denied_matched_policy[ns[a]-policy[b]-rule[0]]`, `…[none]`. */
  readonly detail: string;
  readonly by: L7MatchPlace | undefined;
  /** AUDIT policies that matched. */
  readonly audited: readonly L7MatchPlace[];
  /** Dry-run policies that matched: noted, never enforced. */
  readonly dryRun: readonly L7MatchPlace[];
}
