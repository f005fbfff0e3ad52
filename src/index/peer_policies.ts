import type { Store } from "../kube/store.ts";
import { type KubeObject, objectKey } from "../kube/types.ts";
import { type AuthorizationPolicy, policyKey } from "../model/policy.ts";
import { sameValue } from "./equal.ts";
import type { Labels } from "./labels.ts";
import {
  convertPeerPolicy,
  effectivePeerPolicy,
  inheritedStrict,
  type PeerPolicy,
  peerPolicyKeys,
  readPeerAuthentication,
  staticStrictPolicy,
} from "./peer_authentication.ts";
import type { MeshSettings } from "./settings.ts";
import type { OutputTable } from "./table.ts";

/** The PeerAuthentications of a cluster. There are few: each change reads all of them. */
export class PeerPolicies {
  readonly #objects: Store<KubeObject>;
  #settings: MeshSettings;
  #byNamespace = new Map<string, readonly PeerPolicy[]>();
  readonly problems = new Map<string, readonly string[]>();

  constructor(objects: Store<KubeObject>, settings: MeshSettings) {
    this.#objects = objects;
    this.#settings = settings;
  }

  configure(settings: MeshSettings): void {
    this.#settings = settings;
  }

  /** Reads all again and puts their policies into `policies`; the namespaces whose workloads are affected. */
  rebuild(policies: OutputTable<AuthorizationPolicy>): "all" | ReadonlySet<string> {
    const before = this.#byNamespace;
    const after = new Map<string, PeerPolicy[]>();
    this.problems.clear();
    for (const object of this.#objects.values()) {
      const policy = readPeerAuthentication(object);
      if (policy.problems.length > 0) this.problems.set(objectKey(object), policy.problems);
      after.set(policy.namespace, [...after.get(policy.namespace) ?? [], policy]);
    }
    this.#byNamespace = after;
    const converted: [string, AuthorizationPolicy][] = [];
    if (this.#objects.size > 0) {
      const strict = staticStrictPolicy(this.#settings);
      converted.push([policyKey(strict), strict]);
    }
    for (const [namespace, all] of after) {
      // In the root namespace a selector has no effect.
      if (namespace === this.#settings.rootNamespace) continue;
      const inherited = inheritedStrict(this.#mesh, all);
      for (const policy of all) {
        const own = convertPeerPolicy(policy, inherited);
        if (own) converted.push([policyKey(own), own]);
      }
    }
    policies.replace("PeerAuthentication", converted);
    const { rootNamespace } = this.#settings;
    if (!sameValue(before.get(rootNamespace), after.get(rootNamespace))) return "all";
    const namespaces = new Set([...before.keys(), ...after.keys()]);
    return new Set([...namespaces].filter((name) => !sameValue(before.get(name), after.get(name))));
  }

  get #mesh(): readonly PeerPolicy[] {
    return this.#byNamespace.get(this.#settings.rootNamespace) ?? [];
  }

  /** Keys of the policies that a workload refers to. */
  keysFor(namespace: string, labels: Labels | undefined): string[] {
    const own = namespace === this.#settings.rootNamespace ? [] : this.#byNamespace.get(namespace) ?? [];
    const inherited = inheritedStrict(this.#mesh, own);
    return peerPolicyKeys(effectivePeerPolicy(this.#mesh, own, labels), inherited, this.#settings);
  }
}
