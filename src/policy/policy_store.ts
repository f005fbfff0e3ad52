import { type AuthorizationPolicy, policyKey } from "../model/mod.ts";
import { type CompiledPolicy, compilePolicy } from "./compile.ts";

/** Whose policies are asked for: a workload's namespace and the selector policies it names. */
export interface PolicyTarget {
  readonly namespace: string;
  /** Keys `namespace/name`. */
  readonly authorizationPolicies: readonly string[];
}

/** The policies that apply to one workload, and the names it lists that nobody has sent. */
export interface ApplicablePolicies {
  readonly policies: readonly CompiledPolicy[];
  readonly missing: readonly string[];
}

/** Every known policy by scope. One writer (xDS), many synchronous readers. */
export class PolicyStore {
  readonly #byKey = new Map<string, CompiledPolicy>();
  readonly #global = new Map<string, CompiledPolicy>();
  readonly #byNamespace = new Map<string, Map<string, CompiledPolicy>>();
  /** Answers given since the last change: every connection asks. */
  #answers = new WeakMap<PolicyTarget, ApplicablePolicies>();

  upsert(policy: AuthorizationPolicy): void {
    const compiled = compilePolicy(policy);
    this.remove(compiled.key);
    this.#answers = new WeakMap();
    this.#byKey.set(compiled.key, compiled);
    if (policy.scope === "GLOBAL") this.#global.set(compiled.key, compiled);
    if (policy.scope === "NAMESPACE") {
      let inNamespace = this.#byNamespace.get(policy.namespace);
      if (!inNamespace) this.#byNamespace.set(policy.namespace, inNamespace = new Map());
      inNamespace.set(compiled.key, compiled);
    }
  }

  /** @returns whether the policy was known */
  remove(key: string): boolean {
    const known = this.#byKey.get(key);
    if (!known) return false;
    this.#answers = new WeakMap();
    this.#byKey.delete(key);
    this.#global.delete(key);
    const { namespace } = known.policy;
    const inNamespace = this.#byNamespace.get(namespace);
    if (inNamespace?.delete(key) && inNamespace.size === 0) this.#byNamespace.delete(namespace);
    return true;
  }

  get(key: string): AuthorizationPolicy | undefined {
    return this.#byKey.get(key)?.policy;
  }

  get size(): number {
    return this.#byKey.size;
  }

  all(): AuthorizationPolicy[] {
    return [...this.#byKey.values()].map((compiled) => compiled.policy);
  }

  /**
   * Namespace-wide policies of the target's namespace, global ones, and those the workload names. A name nobody sent
   * is reported and otherwise skipped, as ztunnel does: xDS may bring the workload before its policy.
   */
  applicable(target: PolicyTarget): ApplicablePolicies {
    let answer = this.#answers.get(target);
    if (!answer) this.#answers.set(target, answer = this.#find(target));
    return answer;
  }

  #find(target: PolicyTarget): ApplicablePolicies {
    const found = new Map<string, CompiledPolicy>(this.#byNamespace.get(target.namespace));
    for (const [key, compiled] of this.#global) found.set(key, compiled);
    const missing: string[] = [];
    for (const key of target.authorizationPolicies) {
      const compiled = this.#byKey.get(key);
      if (compiled) found.set(policyKey(compiled.policy), compiled);
      else missing.push(key);
    }
    return { policies: [...found.values()], missing };
  }
}
