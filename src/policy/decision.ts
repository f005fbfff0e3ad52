import type { AuthorizationPolicy, Identity } from "../model/mod.ts";
import type { IpBits } from "../core/ip.ts";

/** What is known about a connection when it asks to be let in, as the destination's proxy sees it. */
export interface ConnectionFacts {
  /** The peer's identity by mutual TLS; undefined when it came without. */
  readonly identity: Identity | undefined;
  /** `trust-domain/ns/NAMESPACE/sa/ACCOUNT`, or "" without identity: policies name principals without `spiffe://`. */
  readonly principal: string;
  /** The TCP peer (behind a waypoint, the waypoint). */
  readonly sourceIp: IpBits | undefined;
  readonly destinationIp: IpBits | undefined;
  /** The application's port, never 15008. */
  readonly destinationPort: number;
}

/** The place in a policy that matched. */
export interface MatchPlace {
  readonly policy: AuthorizationPolicy;
  readonly rule: number;
  /** For every clause of the rule the index of its first match that matched; -1 for a clause without matches. */
  readonly matches: readonly number[];
}

export type DecisionCode =
  /** A DENY policy matched. */
  | "denied_by_policy"
  /** ALLOW policies apply and none of them matched. */
  | "no_allow_matched"
  /** An ALLOW policy matched. */
  | "allowed_by_policy"
  /** No ALLOW policy applies, and no DENY matched. */
  | "allowed_by_default";

/** The outcome of authorization: a value with its reason, whichever way it went. */
export interface Decision {
  readonly allowed: boolean;
  readonly code: DecisionCode;
  /** As ztunnel words it in the access log, e.g. `explicitly denied by: shop/no-strangers`. */
  readonly reason: string;
  /** What matched; undefined when the outcome is that nothing did. */
  readonly by: MatchPlace | undefined;
  /** `namespace/name` of the policies that refused: the DENY that matched, or every ALLOW that did not. */
  readonly refusedBy: readonly string[];
  /** Dry-run policies that matched: logged, never enforced. */
  readonly dryRun: readonly MatchPlace[];
}
