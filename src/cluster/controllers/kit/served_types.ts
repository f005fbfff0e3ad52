import { builtinTypes } from "../../api/builtin_types.ts";
import type { GroupResource, KubeObject } from "../../contracts.ts";
import type { ObjectCache } from "./cache.ts";

/** A type whose objects are stored. */
export interface ServedType extends GroupResource {
  readonly kind: string;
  readonly namespaced: boolean;
}

const BUILTIN: ServedType[] = builtinTypes().filter((type) => !type.virtual).map((
  { group, plural, kind, namespaced },
) => Object.freeze({ group, resource: plural, kind, namespaced }));

/** All types with stored objects: the built-in ones and those of CustomResourceDefinitions. */
export class ServedTypes {
  readonly #crds: ObjectCache;

  constructor(crds: ObjectCache) {
    this.#crds = crds;
  }

  all(): ServedType[] {
    return [...BUILTIN, ...[...this.#crds.all()].map(customType)];
  }

  /** The type of a kind as owner references name it; the version does not matter. */
  byKind(group: string, kind: string): ServedType | undefined {
    const builtin = BUILTIN.find((type) => type.group === group && type.kind === kind);
    if (builtin) return builtin;
    for (const crd of this.#crds.all()) {
      if (crd.spec.group === group && crd.spec.names?.kind === kind) return customType(crd);
    }
    return undefined;
  }
}

/** The type that a CustomResourceDefinition defines. */
export function customType(crd: KubeObject): ServedType {
  return {
    group: crd.spec.group,
    resource: crd.spec.names.plural,
    kind: crd.spec.names.kind,
    namespaced: crd.spec.scope === "Namespaced",
  };
}

/** `group/plural`, which tells types apart. */
export function typeKey(type: GroupResource): string {
  return `${type.group}/${type.resource}`;
}
