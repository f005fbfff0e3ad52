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
  let denied: MatchPlace | undefined, allowed: MatchPlace | undefined, allowPolicies = 0;
  for (const { policy, match } of policies) {
    if (policy.dryRun) {
      const place = match(facts);
      if (place) (policy.action === "DENY" ? dryRunDeny : dryRunAllow).push(place);
    } else if (policy.action === "DENY") {
      denied ??= match(facts);
    } else {
      allowPolicies++;
      allowed ??= match(facts);
    }
  }
  if (denied) {
    const reason = `explicitly denied by: ${policyKey(denied.policy)}`;
    return decision(false, "denied_by_policy", reason, denied, dryRunDeny);
  }
  const dryRun = [...dryRunDeny, ...dryRunAllow];
  if (allowed) {
    return decision(true, "allowed_by_policy", `explicitly allowed by: ${policyKey(allowed.policy)}`, allowed, dryRun);
  }
  if (allowPolicies > 0) {
    return decision(false, "no_allow_matched", "allow policies exist, but none allowed", undefined, dryRun);
  }
  return decision(true, "allowed_by_default", "no allow policies apply", undefined, dryRun);
}

function decision(
  allowed: boolean,
  code: DecisionCode,
  reason: string,
  by: MatchPlace | undefined,
  dryRun: readonly MatchPlace[],
): Decision {
  return { allowed, code, reason, by, dryRun };
}

/** `rule[1] match[0,2]`: the place for people, in logs and in `ctl`. */
export function describePlace(place: MatchPlace): string {
  return `${policyKey(place.policy)} rule[${place.rule}] match[${place.matches.join(",")}]`;
}
