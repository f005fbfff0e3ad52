import { builtinTypes } from "./builtin_types.ts";
import type { ResourceType, TypeVersion } from "./types.ts";

/** The resource types that are served: built-ins, and those of CustomResourceDefinitions as they come and go. */
export class TypeRegistry {
  readonly #types = new Map<string, ResourceType>();
  /** Grows with every change; discovery and OpenAPI documents are cached by it. */
  generation = 0;

  constructor() {
    for (const type of builtinTypes()) this.#types.set(type.key, type);
  }

  get(group: string, plural: string): ResourceType | undefined {
    return this.#types.get(`${group}/${plural}`);
  }

  byKey(key: string): ResourceType | undefined {
    return this.#types.get(key);
  }

  byKind(group: string, kind: string): ResourceType | undefined {
    for (const type of this.#types.values()) if (type.group === group && type.kind === kind) return type;
    return undefined;
  }

  all(): IterableIterator<ResourceType> {
    return this.#types.values();
  }

  set(type: ResourceType): void {
    this.#types.set(type.key, type);
    this.generation++;
  }

  remove(key: string): void {
    if (this.#types.delete(key)) this.generation++;
  }

  /**
   * Groups in the order discovery lists them, each with its served versions, the preferred one first. Custom groups come last, by name, as
   * in Kubernetes, whatever came first: `kubectl get gateway` means that of the Gateway API.
   */
  groups(): { group: string; versions: string[]; types: ResourceType[] }[] {
    const groups = new Map<string, { versions: Set<string>; types: ResourceType[] }>();
    for (const type of this.#types.values()) {
      const entry = groups.get(type.group) ?? { versions: new Set(), types: [] };
      groups.set(type.group, entry);
      entry.types.push(type);
      for (const version of type.versions) if (version.served) entry.versions.add(version.name);
    }
    const custom = ({ types }: { types: ResourceType[] }) => types.every(({ crd }) => crd !== undefined);
    const order = [...groups].sort(([a, one], [b, other]) => {
      if (!custom(one) || !custom(other)) return Number(custom(one)) - Number(custom(other));
      return a < b ? -1 : 1;
    });
    return order.map(([group, { versions, types }]) => ({
      group,
      versions: [...versions].sort(compareVersions),
      types,
    })).filter(({ versions }) => versions.length > 0);
  }
}

/** Kubernetes' order of version names: v2 before v1 before v2beta1 before v1alpha1 before anything else. */
export function compareVersions(a: string, b: string): number {
  const left = versionRank(a);
  const right = versionRank(b);
  if (!left || !right) return left ? -1 : right ? 1 : a < b ? -1 : a > b ? 1 : 0;
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return right[i] - left[i];
  return 0;
}

function versionRank(version: string): number[] | undefined {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (!match) return undefined;
  const stability = match[2] === undefined ? 2 : match[2] === "beta" ? 1 : 0;
  return [stability, Number(match[1]), Number(match[3] ?? 0)];
}

/** The version that objects of a type are stored and handed out in inside the cluster. */
export function storedVersion(type: ResourceType): TypeVersion {
  return type.versions.find((version) => version.name === type.storageVersion) ?? type.versions[0];
}
