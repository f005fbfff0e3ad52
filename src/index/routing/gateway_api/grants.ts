// ReferenceGrants: what objects of other namespaces may be referred to.

import type { KubeObject } from "../../../kube/types.ts";
import { isObject, listOf, textOf } from "../../read.ts";

export interface Reference {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
}

interface Grant {
  readonly from: readonly Reference[];
  readonly to: readonly { readonly group: string; readonly kind: string; readonly name: string | undefined }[];
}

const read = new WeakMap<KubeObject, Grant>();

function grantOf(object: KubeObject): Grant {
  let grant = read.get(object);
  if (grant) return grant;
  // An entry that cannot be read whole grants nothing, nor does a grant with a field that nobody knows.
  const texts = (one: Record<string, unknown>, known: readonly string[]) =>
    Object.entries(one).every(([key, value]) => known.includes(key) && typeof value === "string");
  const known = Object.keys(object.spec ?? {}).every((field) => field === "from" || field === "to");
  grant = {
    from: listOf(known ? object.spec?.from : undefined).filter(isObject).filter((one) =>
      texts(one, ["group", "kind", "namespace"])
    ).map((
      one,
    ) => ({
      group: textOf(one.group),
      kind: textOf(one.kind),
      namespace: textOf(one.namespace),
    })),
    to: listOf(object.spec?.to).filter(isObject).filter((one) => texts(one, ["group", "kind", "name"])).map((one) => ({
      group: textOf(one.group),
      kind: textOf(one.kind),
      name: one.name === undefined || one.name === "" ? undefined : textOf(one.name),
    })),
  };
  read.set(object, grant);
  return grant;
}

/** All grants, by the namespace that they open. */
export class Grants {
  readonly #byNamespace = new Map<string, Grant[]>();

  constructor(objects: Iterable<KubeObject>) {
    for (const object of objects) {
      const { namespace = "default" } = object.metadata, list = this.#byNamespace.get(namespace);
      if (list) list.push(grantOf(object));
      else this.#byNamespace.set(namespace, [grantOf(object)]);
    }
  }

  /** Whether `from` may refer to `to`: always within one namespace. */
  permits(from: Reference, to: Reference & { readonly name: string }): boolean {
    if (from.namespace === to.namespace) return true;
    return (this.#byNamespace.get(to.namespace) ?? []).some((grant) =>
      grant.from.some((one) =>
        one.group === from.group && one.kind === from.kind && one.namespace === from.namespace
      ) &&
      grant.to.some((one) =>
        one.group === to.group && one.kind === to.kind && (one.name === undefined || one.name === to.name)
      )
    );
  }
}
