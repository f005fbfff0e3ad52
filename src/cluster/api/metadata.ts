import type { KubeObject, ObjectMeta } from "../contracts.ts";
import { field } from "./errors.ts";
import { nameProblem, type NameRule, qualifiedNameProblem, validateAnnotations, validateLabels } from "./names.ts";
import { indexPath } from "./schema/schema.ts";
import type { FieldError } from "./types.ts";

/** RFC 3339 with whole seconds, as `metav1.Time` is written. */
export function timestamp(ms: number): string {
  return new Date(Math.floor(ms / 1000) * 1000).toISOString().replace(".000Z", "Z");
}

/** Checks of `metadata` that hold for every object. */
export function validateMetadata(object: KubeObject, rule: NameRule, old?: KubeObject): FieldError[] {
  const { metadata } = object;
  const errors: FieldError[] = [];
  if (!old) {
    const problem = nameProblem(metadata.name, rule);
    if (problem) errors.push(field.invalid("metadata.name", metadata.name, problem));
  }
  errors.push(...validateLabels(metadata.labels, "metadata.labels"));
  errors.push(...validateAnnotations(metadata.annotations, "metadata.annotations"));
  (metadata.finalizers ?? []).forEach((finalizer) => {
    const problem = qualifiedNameProblem(finalizer);
    if (problem) errors.push(field.invalid("metadata.finalizers", finalizer, problem));
  });
  let controllers = 0;
  (metadata.ownerReferences ?? []).forEach((owner, i) => {
    const at = indexPath("metadata.ownerReferences", i);
    for (const key of ["apiVersion", "kind", "name", "uid"] as const) {
      if (!owner[key]) errors.push(field.invalid(`${at}.${key}`, owner[key] ?? "", `${key} must not be empty`));
    }
    if (owner.controller) controllers++;
  });
  if (controllers > 1) {
    errors.push(
      field.invalid(
        "metadata.ownerReferences",
        metadata.ownerReferences,
        "Only one reference can have Controller set to true",
      ),
    );
  }
  if (old?.metadata.deletionTimestamp) {
    const added = (metadata.finalizers ?? []).filter((finalizer) => !old.metadata.finalizers?.includes(finalizer));
    if (added.length > 0) {
      const list = added.map((finalizer) => JSON.stringify(finalizer)).join(", ");
      errors.push(field.forbidden(
        "metadata.finalizers",
        `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
      ));
    }
  }
  return errors;
}

/** Metadata of an update: what clients may change comes from `next`, what only the server sets from `old`. */
export function carryMetadata(next: ObjectMeta, old: ObjectMeta): ObjectMeta {
  const result: ObjectMeta = { ...next, name: old.name };
  for (
    const key of [
      "namespace",
      "uid",
      "creationTimestamp",
      "generation",
      "generateName",
      "deletionTimestamp",
      "deletionGracePeriodSeconds",
    ]
  ) {
    if (old[key] === undefined) delete result[key];
    else result[key] = old[key];
  }
  delete result.selfLink;
  result.resourceVersion = old.resourceVersion;
  return tidyMetadata(result);
}

/** Leaves out what is empty, as Go's encoder does. */
export function tidyMetadata(metadata: ObjectMeta): ObjectMeta {
  for (const key of ["labels", "annotations"] as const) {
    if (metadata[key] && Object.keys(metadata[key]!).length === 0) delete metadata[key];
  }
  for (const key of ["finalizers", "ownerReferences"] as const) {
    if (metadata[key] && metadata[key]!.length === 0) delete metadata[key];
  }
  if (metadata.generateName === "") delete metadata.generateName;
  return metadata;
}
