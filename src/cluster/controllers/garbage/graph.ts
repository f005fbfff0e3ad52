import type { KubeObject, OwnerReference } from "../../contracts.ts";
import type { ServedType } from "../kit/served_types.ts";

/** What the collector knows of one object. */
export interface Item {
  readonly uid: string;
  readonly type: ServedType;
  readonly namespace?: string;
  readonly name: string;
  owners: OwnerReference[];
  deleting: boolean;
  finalizers: string[];
}

/** Who owns whom, by UID. */
export class OwnerGraph {
  readonly #items = new Map<string, Item>();
  readonly #dependents = new Map<string, Set<string>>();

  get(uid: string): Item | undefined {
    return this.#items.get(uid);
  }

  /** Takes an object in, or its change. */
  put(type: ServedType, object: KubeObject): Item {
    const { uid, namespace, name, ownerReferences = [], finalizers = [], deletionTimestamp } = object.metadata;
    const known = this.#items.get(uid!);
    for (const owner of known?.owners ?? []) this.#unlink(owner.uid, uid!);
    const item: Item = {
      uid: uid!,
      type,
      namespace,
      name,
      owners: ownerReferences,
      deleting: deletionTimestamp !== undefined,
      finalizers,
    };
    this.#items.set(uid!, item);
    for (const owner of item.owners) {
      const dependents = this.#dependents.get(owner.uid);
      if (dependents) dependents.add(uid!);
      else this.#dependents.set(owner.uid, new Set([uid!]));
    }
    return item;
  }

  remove(uid: string): void {
    for (const owner of this.#items.get(uid)?.owners ?? []) this.#unlink(owner.uid, uid);
    this.#items.delete(uid);
  }

  /** Objects that name this UID as an owner, which may exist or not. */
  dependentsOf(uid: string): Item[] {
    return [...this.#dependents.get(uid) ?? []].map((dependent) => this.#items.get(dependent)!);
  }

  #unlink(owner: string, dependent: string): void {
    const dependents = this.#dependents.get(owner);
    dependents?.delete(dependent);
    if (dependents?.size === 0) this.#dependents.delete(owner);
  }
}
