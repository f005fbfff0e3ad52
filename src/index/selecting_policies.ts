import type { Labels } from "./labels.ts";
import { selects } from "./labels.ts";
import { sameValue } from "./equal.ts";

/** A policy that is for the workloads with these labels. */
export interface Selecting {
  readonly key: string;
  readonly selector: Labels;
  /** "" for all namespaces. */
  readonly namespace: string;
}

/** Policies with selectors, by the namespace whose workloads they are for. */
export class SelectingPolicies {
  readonly #byObject = new Map<string, Selecting>();
  readonly #byNamespace = new Map<string, Set<Selecting>>();

  /** Replaces what the policy object `key` selects; the former and the new selection, where they differ. */
  set(key: string, now: Selecting | undefined): Selecting[] {
    const old = this.#byObject.get(key);
    if (sameValue(old, now)) return [];
    if (old) this.#byNamespace.get(old.namespace)?.delete(old);
    if (now) {
      this.#byObject.set(key, now);
      const group = this.#byNamespace.get(now.namespace);
      if (group) group.add(now);
      else this.#byNamespace.set(now.namespace, new Set([now]));
    } else this.#byObject.delete(key);
    return [old, now].filter((one) => one !== undefined);
  }

  /** Keys of the policies that are for a workload, sorted. */
  keysFor(namespace: string, labels: Labels | undefined): string[] {
    const keys: string[] = [];
    for (const group of ["", namespace]) {
      for (const policy of this.#byNamespace.get(group) ?? []) {
        if (selects(policy.selector, labels)) keys.push(policy.key);
      }
    }
    return keys.sort();
  }
}
