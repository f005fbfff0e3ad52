// istio.security.Authorization <-> model. What cannot be understood refuses the policy: enforcing half of it could allow what
// it was written to deny.

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import * as pb from "../gen/istio/security/authorization_pb.ts";
import type { AuthorizationPolicy, IpRange, PolicyMatch, StringMatch } from "../model/policy.ts";
import { checkPrefix, ipFromBytes, ipToBytes } from "./address_bytes.ts";
import { invalidResource } from "./convert_error.ts";

/**
 * Decodes the bytes of an Authorization.
 *
 * @throws MeshError `invalid_resource`
 */
export function decodeAuthorization(bytes: Uint8Array): AuthorizationPolicy {
  let policy: pb.Authorization;
  try {
    policy = fromBinary(pb.AuthorizationSchema, bytes);
  } catch (cause) {
    throw invalidResource("not a protobuf Authorization", cause);
  }
  return authorizationToModel(policy);
}

/** Serialised Authorization. */
export function encodeAuthorization(policy: AuthorizationPolicy): Uint8Array {
  return toBinary(pb.AuthorizationSchema, authorizationFromModel(policy));
}

const SCOPE = ["GLOBAL", "NAMESPACE", "WORKLOAD_SELECTOR"] as const;
const ACTION = ["ALLOW", "DENY"] as const;

/** @throws MeshError `invalid_resource` */
export function authorizationToModel(policy: pb.Authorization): AuthorizationPolicy {
  const scope = SCOPE[policy.scope], action = ACTION[policy.action];
  if (policy.name === "") throw invalidResource("a policy without name");
  if (scope === undefined) throw invalidResource(`unknown scope ${policy.scope}`);
  if (action === undefined) throw invalidResource(`unknown action ${policy.action}`);
  return {
    namespace: policy.namespace,
    name: policy.name,
    scope,
    action,
    rules: policy.rules.map((rule) => rule.clauses.map((clause) => clause.matches.map(matchToModel))),
    dryRun: policy.dryRun,
  };
}

export function authorizationFromModel(policy: AuthorizationPolicy): pb.Authorization {
  return create(pb.AuthorizationSchema, {
    name: policy.name,
    namespace: policy.namespace,
    scope: pb.Scope[policy.scope],
    action: pb.Action[policy.action],
    rules: policy.rules.map((clauses) => ({
      clauses: clauses.map((matches) => ({ matches: matches.map(matchFromModel) })),
    })),
    dryRun: policy.dryRun,
  });
}

function matchToModel(match: pb.Match): PolicyMatch {
  return {
    namespaces: match.namespaces.map(stringToModel),
    notNamespaces: match.notNamespaces.map(stringToModel),
    principals: match.principals.map(stringToModel),
    notPrincipals: match.notPrincipals.map(stringToModel),
    sourceIps: match.sourceIps.map(rangeToModel),
    notSourceIps: match.notSourceIps.map(rangeToModel),
    destinationIps: match.destinationIps.map(rangeToModel),
    notDestinationIps: match.notDestinationIps.map(rangeToModel),
    destinationPorts: match.destinationPorts.map(port),
    notDestinationPorts: match.notDestinationPorts.map(port),
    serviceAccounts: match.serviceAccounts.map(accountToModel),
    notServiceAccounts: match.notServiceAccounts.map(accountToModel),
  };
}

function matchFromModel(match: PolicyMatch): MessageInitShape<typeof pb.MatchSchema> {
  return {
    namespaces: match.namespaces.map(stringFromModel),
    notNamespaces: match.notNamespaces.map(stringFromModel),
    principals: match.principals.map(stringFromModel),
    notPrincipals: match.notPrincipals.map(stringFromModel),
    sourceIps: match.sourceIps.map(rangeFromModel),
    notSourceIps: match.notSourceIps.map(rangeFromModel),
    destinationIps: match.destinationIps.map(rangeFromModel),
    notDestinationIps: match.notDestinationIps.map(rangeFromModel),
    destinationPorts: [...match.destinationPorts],
    notDestinationPorts: [...match.notDestinationPorts],
    serviceAccounts: [...match.serviceAccounts],
    notServiceAccounts: [...match.notServiceAccounts],
  };
}

function stringToModel(match: pb.StringMatch): StringMatch {
  switch (match.matchType.case) {
    case "exact":
    case "prefix":
    case "suffix":
      return { kind: match.matchType.case, value: match.matchType.value };
    case "presence":
      return { kind: "presence" };
    default:
      throw invalidResource("a string match without a kind");
  }
}

function stringFromModel(match: StringMatch): MessageInitShape<typeof pb.StringMatchSchema> {
  if (match.kind === "presence") return { matchType: { case: "presence", value: {} } };
  return { matchType: { case: match.kind, value: match.value } };
}

function rangeToModel(range: pb.Address): IpRange {
  const address = ipFromBytes(range.address);
  // The prefix of a mapped IPv4 range counts the IPv6 bits before it.
  const length = range.address.length === 16 && !address.includes(":") ? range.length - 96 : range.length;
  if (length < 0) throw invalidResource(`prefix length ${range.length} of "${address}"`);
  return { address, length: checkPrefix(address, length) };
}

function rangeFromModel(range: IpRange): MessageInitShape<typeof pb.AddressSchema> {
  return { address: ipToBytes(range.address), length: range.length };
}

function accountToModel(
  { namespace, serviceAccount }: pb.ServiceAccountMatch,
): { namespace: string; serviceAccount: string } {
  return { namespace, serviceAccount };
}

function port(value: number): number {
  if (value > 65535) throw invalidResource(`port ${value}`);
  return value;
}
