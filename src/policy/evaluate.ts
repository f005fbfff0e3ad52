import { parseIp } from "../core/ip.ts";
import { type Identity, policyKey } from "../model/mod.ts";
import type { CompiledPolicy } from "./compile.ts";
import type { ConnectionFacts, Decision, DecisionCode, MatchPlace } from "./decision.ts";

/** Prepares the facts of one connection: addresses are parsed once, however many policies look at them. */
export function connectionFacts(from: {
  identity?: Identity;
  sourceIp: string;
  destinationIp: string;
  destinationPort: number;
}): ConnectionFacts {
  const { identity } = from;
  return {
    identity,
    principal: identity ? `${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}` : "",
    sourceIp: parseIp(from.sourceIp),
    destinationIp: parseIp(from.destinationIp),
    destinationPort: from.destinationPort,
  };
}

/**
 * Decides on one connection, in ztunnel's order: dry-run DENY (noted only), DENY, dry-run ALLOW (noted only), then
 * ALLOW, of which at least one must match when there is any.
 */
export function evaluate(facts: ConnectionFacts, policies: readonly CompiledPolicy[]): Decision {
  const dryRunDeny: MatchPlace[] = [], dryRunAllow: MatchPlace[] = [];
  const allowPolicies: string[] = [];
  let denied: MatchPlace | undefined, allowed: MatchPlace | undefined;
  for (const { policy, match } of policies) {
    if (policy.dryRun) {
      const place = match(facts);
      if (place) (policy.action === "DENY" ? dryRunDeny : dryRunAllow).push(place);
    } else if (policy.action === "DENY") {
      denied ??= match(facts);
    } else {
      allowPolicies.push(policyKey(policy));
      allowed ??= match(facts);
    }
  }
  if (denied) {
    const key = policyKey(denied.policy);
    return decision(false, "denied_by_policy", `explicitly denied by: ${key}`, denied, dryRunDeny, [key]);
  }
  const dryRun = [...dryRunDeny, ...dryRunAllow];
  if (allowed) {
    return decision(true, "allowed_by_policy", `explicitly allowed by: ${policyKey(allowed.policy)}`, allowed, dryRun);
  }
  if (allowPolicies.length > 0) {
    // ztunnel's words, and the names that it leaves out.
    const reason = `allow policies exist, but none allowed: ${shorten(allowPolicies)}`;
    return decision(false, "no_allow_matched", reason, undefined, dryRun, allowPolicies);
  }
  return decision(true, "allowed_by_default", "no allow policies apply", undefined, dryRun);
}

function decision(
  allowed: boolean,
  code: DecisionCode,
  reason: string,
  by: MatchPlace | undefined,
  dryRun: readonly MatchPlace[],
  refusedBy: readonly string[] = [],
): Decision {
  return { allowed, code, reason, by, refusedBy, dryRun };
}

/** Names for a log line; a long list is cut. */
function shorten(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(", ");
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}

/** `rule[1] match[0,2]`: the place for people, in logs and in `ctl`. */
export function describePlace(place: MatchPlace): string {
  return `${policyKey(place.policy)} rule[${place.rule}] match[${place.matches.join(",")}]`;
}
