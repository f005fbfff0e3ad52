// PeerAuthentication -> policies that deny plain text (istiod-behaviour.md §4). ztunnel knows no mTLS modes: STRICT is a DENY of
// connections without an identity.

import type { KubeObject } from "../kube/types.ts";
import { type AuthorizationPolicy, EMPTY_MATCH, policyKey, type PolicyMatch } from "../model/policy.ts";
import { isObject } from "./authorization/rule.ts";
import { type Labels, selects } from "./labels.ts";
import type { MeshSettings } from "./settings.ts";

type Mode = "UNSET" | "DISABLE" | "PERMISSIVE" | "STRICT";

/** A PeerAuthentication, read. */
export interface PeerPolicy {
  readonly namespace: string;
  readonly name: string;
  /** Undefined: for the namespace, or for the mesh in the root namespace. */
  readonly selector?: Labels;
  readonly mode: Mode;
  readonly ports: ReadonlyMap<number, Mode>;
  /** What orders rivals: the oldest wins. */
  readonly age: string;
  /** What could not be understood, and therefore counts as STRICT, or cannot be done. */
  readonly problems: readonly string[];
}

/** What applies to one workload. */
export interface EffectivePeerPolicy {
  /** Whether plain text is refused on ports that have no mode of their own. */
  readonly strict: boolean;
  /** The policy whose ports deviate from that. */
  readonly deviating?: PeerPolicy;
}

const UNAUTHENTICATED: PolicyMatch = Object.freeze({ ...EMPTY_MATCH, notPrincipals: [{ kind: "presence" as const }] });

export function readPeerAuthentication({ metadata, spec }: KubeObject): PeerPolicy {
  const problems: string[] = [];
  const mode = (value: unknown, place: string): Mode => {
    const text = isObject(value) ? value.mode ?? "UNSET" : value === undefined || value === null ? "UNSET" : value;
    const unknown = isObject(value) ? Object.keys(value).filter((field) => field !== "mode") : [];
    if (unknown.length > 0) {
      for (const field of unknown) {
        problems.push(`unknown field ${place.replace("mode", field)}: the mode counts as STRICT`);
      }
      return "STRICT";
    }
    if (text === "DISABLE") problems.push(`${place} DISABLE is not supported: it counts as PERMISSIVE`);
    if (text === "UNSET" || text === "DISABLE" || text === "PERMISSIVE" || text === "STRICT") return text;
    problems.push(`${place} ${JSON.stringify(text)} counts as STRICT`);
    return "STRICT";
  };
  const fields = isObject(spec) ? spec : {};
  let base = mode(fields.mtls, "mtls.mode");
  for (const field of Object.keys(fields)) {
    if (["mtls", "portLevelMtls", "selector"].includes(field)) continue;
    problems.push(`unknown field ${field}: the policy counts as STRICT`);
    base = "STRICT";
  }
  const selector = isObject(fields.selector) ? fields.selector : {};
  for (const field of Object.keys(selector)) {
    if (field === "matchLabels") continue;
    problems.push(`unknown field selector.${field}: the policy counts as STRICT`);
    base = "STRICT";
  }
  const ports = new Map<number, Mode>();
  for (const [port, value] of Object.entries(isObject(fields.portLevelMtls) ? fields.portLevelMtls : {})) {
    ports.set(Number(port), mode(value, `portLevelMtls["${port}"].mode`));
  }
  const labels = isObject(selector.matchLabels) ? selector.matchLabels : {};
  return {
    namespace: metadata.namespace ?? "default",
    name: metadata.name,
    selector: Object.keys(labels).length > 0 ? labels as Labels : undefined,
    mode: base,
    ports,
    age: `${metadata.creationTimestamp ?? ""} ${metadata.name}`,
    problems,
  };
}

function oldest(policies: Iterable<PeerPolicy>): PeerPolicy | undefined {
  let first: PeerPolicy | undefined;
  for (const policy of policies) if (!first || policy.age < first.age) first = policy;
  return first;
}

/** The name of the one policy that refuses all plain text. */
export function staticStrictPolicy({ rootNamespace }: MeshSettings): AuthorizationPolicy {
  return {
    namespace: rootNamespace,
    name: "istio_converted_static_strict",
    scope: "WORKLOAD_SELECTOR",
    action: "DENY",
    rules: [[[UNAUTHENTICATED]]],
    dryRun: false,
  };
}

/** Whether plain text is refused where no workload policy says otherwise: namespace over mesh, UNSET inherits. */
export function inheritedStrict(mesh: readonly PeerPolicy[], namespace: readonly PeerPolicy[]): boolean {
  for (const policies of [namespace, mesh]) {
    const policy = oldest(policies.filter(({ selector }) => !selector));
    if (policy && policy.mode !== "UNSET") return policy.mode === "STRICT";
  }
  return false;
}

/** What applies to a workload with these labels. `namespace` holds none where the namespace is the root: mesh policies do. */
export function effectivePeerPolicy(
  mesh: readonly PeerPolicy[],
  namespace: readonly PeerPolicy[],
  labels: Labels | undefined,
): EffectivePeerPolicy {
  const inherited = inheritedStrict(mesh, namespace);
  const own = oldest(namespace.filter(({ selector }) => selector && selects(selector, labels)));
  if (!own) return { strict: inherited };
  const strict = own.mode === "UNSET" ? inherited : own.mode === "STRICT";
  return { strict, deviating: deviatingPorts(own, strict).length > 0 ? own : undefined };
}

/** Ports whose mode is the opposite of the base. */
function deviatingPorts({ ports }: PeerPolicy, strict: boolean): number[] {
  return [...ports].filter(([, mode]) => mode !== "UNSET" && (mode === "STRICT") !== strict).map(([port]) => port)
    .sort((a, b) => a - b);
}

/** The policy for the workloads of a PeerAuthentication with ports of their own; undefined when none deviates. */
export function convertPeerPolicy(policy: PeerPolicy, inherited: boolean): AuthorizationPolicy | undefined {
  if (!policy.selector) return undefined;
  const strict = policy.mode === "UNSET" ? inherited : policy.mode === "STRICT";
  const ports = deviatingPorts(policy, strict);
  if (ports.length === 0) return undefined;
  return {
    namespace: policy.namespace,
    name: `converted_peer_authentication_${policy.name}`,
    scope: "WORKLOAD_SELECTOR",
    action: "DENY",
    rules: strict
      // Plain text is refused but on these ports …
      ? [[[UNAUTHENTICATED], ...ports.map((port) => [{ ...EMPTY_MATCH, notDestinationPorts: [port] }])]]
      // … or is refused on these alone.
      : ports.map((port) => [[{ ...UNAUTHENTICATED, destinationPorts: [port] }]]),
    dryRun: false,
  };
}

/** Keys of the policies that a workload refers to for its PeerAuthentications. */
export function peerPolicyKeys(
  { strict, deviating }: EffectivePeerPolicy,
  inherited: boolean,
  settings: MeshSettings,
): string[] {
  const converted = deviating && convertPeerPolicy(deviating, inherited);
  if (converted) return [policyKey(converted)];
  return strict ? [policyKey(staticStrictPolicy(settings))] : [];
}
