// L4 authorization as ztunnel receives it (package istio.security): rules are OR-ed, the clauses of a rule AND-ed, the
// matches of a clause OR-ed, the fields of a match AND-ed, and the values within one field OR-ed.

export type StringMatch =
  | { readonly kind: "exact"; readonly value: string }
  | { readonly kind: "prefix"; readonly value: string }
  | { readonly kind: "suffix"; readonly value: string }
  | { readonly kind: "presence" };

/** An IP range: canonical address text and prefix length in bits. */
export interface IpRange {
  readonly address: string;
  readonly length: number;
}

export interface ServiceAccountMatch {
  readonly namespace: string;
  readonly serviceAccount: string;
}

export interface PolicyMatch {
  readonly namespaces: readonly StringMatch[];
  readonly notNamespaces: readonly StringMatch[];
  readonly principals: readonly StringMatch[];
  readonly notPrincipals: readonly StringMatch[];
  readonly sourceIps: readonly IpRange[];
  readonly notSourceIps: readonly IpRange[];
  readonly destinationIps: readonly IpRange[];
  readonly notDestinationIps: readonly IpRange[];
  readonly destinationPorts: readonly number[];
  readonly notDestinationPorts: readonly number[];
  readonly serviceAccounts: readonly ServiceAccountMatch[];
  readonly notServiceAccounts: readonly ServiceAccountMatch[];
}

export type PolicyScope = "GLOBAL" | "NAMESPACE" | "WORKLOAD_SELECTOR";
export type PolicyAction = "ALLOW" | "DENY";

/** `rules[rule][clause][match]`. */
export interface AuthorizationPolicy {
  readonly namespace: string;
  readonly name: string;
  readonly scope: PolicyScope;
  readonly action: PolicyAction;
  readonly rules: readonly (readonly (readonly PolicyMatch[])[])[];
  readonly dryRun: boolean;
}

/** `namespace/name`, the key of a policy in xDS and in `Workload.authorizationPolicies`. */
export function policyKey(policy: { namespace: string; name: string }): string {
  return `${policy.namespace}/${policy.name}`;
}

/** A match with no fields set: matches nothing until one is. */
export const EMPTY_MATCH: PolicyMatch = Object.freeze({
  namespaces: [],
  notNamespaces: [],
  principals: [],
  notPrincipals: [],
  sourceIps: [],
  notSourceIps: [],
  destinationIps: [],
  notDestinationIps: [],
  destinationPorts: [],
  notDestinationPorts: [],
  serviceAccounts: [],
  notServiceAccounts: [],
});
