// Whom an AuthorizationPolicy is for, among L7 proxies.

import type { KubeObject } from "../../../kube/types.ts";
import { isObject, labelsOf, listOf, objectOf, textOf } from "../../read.ts";
import type { Labels } from "../../labels.ts";

export interface PolicyTarget {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
}

export interface PolicyScope {
  readonly targets: readonly PolicyTarget[];
  /** Empty: everything of the namespace, or of the mesh. */
  readonly selector: Labels;
  /** Some target cannot be read. */
  readonly broken: boolean;
}

const read = new WeakMap<KubeObject, PolicyScope>();

export function policyScope(object: KubeObject): PolicyScope {
  let scope = read.get(object);
  if (!scope) read.set(object, scope = parse(objectOf(object.spec), object.metadata.namespace ?? "default"));
  return scope;
}

function parse({ targetRef, targetRefs, selector }: Record<string, unknown>, namespace: string): PolicyScope {
  const given = [...(targetRef === undefined || targetRef === null ? [] : [targetRef]), ...listOf(targetRefs)];
  const targets = given.filter(isObject).filter((one) => (one.namespace ?? namespace) === namespace).map((one) => ({
    group: textOf(one.group) === "core" ? "" : textOf(one.group),
    kind: textOf(one.kind),
    name: textOf(one.name),
  }));
  return {
    targets,
    selector: labelsOf(objectOf(selector).matchLabels),
    broken: targets.length !== given.length ||
      (targetRefs !== undefined && targetRefs !== null && !Array.isArray(targetRefs)),
  };
}
