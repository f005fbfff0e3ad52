import type { KubeObject } from "../../contracts.ts";
import { field } from "../errors.ts";
import { isDnsLabel, isSubdomain } from "../names.ts";
import { compareVersions } from "../registry.ts";
import type { Schema } from "../schema/schema.ts";
import type { FieldError, ResourceType, TypeVersion } from "../types.ts";
import { celProblem } from "./cel.ts";
import { isPattern } from "./patterns.ts";

/** The resource type that a CustomResourceDefinition describes. */
export function typeFromDefinition(crd: KubeObject): ResourceType {
  const { spec } = crd;
  const { names } = spec;
  const versions = (spec.versions as any[]).map((version): TypeVersion => ({
    name: version.name,
    served: version.served === true,
    schema: version.schema?.openAPIV3Schema as Schema | undefined,
    columns: version.additionalPrinterColumns,
    hasStatus: version.subresources?.status !== undefined,
    scale: version.subresources?.scale,
    deprecationWarning: version.deprecated
      ? version.deprecationWarning ?? `${spec.group}/${version.name} ${names.kind} is deprecated`
      : undefined,
  }));
  versions.sort((a, b) => compareVersions(a.name, b.name));
  return Object.freeze({
    group: spec.group,
    plural: names.plural,
    singular: names.singular || names.kind.toLowerCase(),
    kind: names.kind,
    listKind: names.listKind || `${names.kind}List`,
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    namespaced: spec.scope === "Namespaced",
    versions,
    storageVersion: spec.versions.find((version: any) => version.storage)!.name,
    strategy: {},
    subresources: {},
    crd,
    key: `${spec.group}/${names.plural}`,
  });
}

/** Checks a definition as far as a server must rely on it. */
export function validateDefinition(crd: KubeObject, old: KubeObject | undefined): FieldError[] {
  const errors: FieldError[] = [];
  const spec = crd.spec ?? {};
  const names = spec.names ?? {};
  if (spec.group !== undefined && !isSubdomain(spec.group)) {
    errors.push(field.invalid("spec.group", spec.group, "must be a DNS subdomain"));
  } else if (spec.group && !spec.group.includes(".")) {
    errors.push(field.invalid("spec.group", spec.group, "should be a domain with at least one dot"));
  }
  if (crd.metadata.name !== `${names.plural}.${spec.group}`) {
    errors.push(field.invalid("metadata.name", crd.metadata.name, 'must be spec.names.plural+"."+spec.group'));
  }
  for (const name of ["plural", "singular"]) {
    if (names[name] && !isDnsLabel(names[name])) {
      errors.push(field.invalid(`spec.names.${name}`, names[name], "must be a DNS-1035 label"));
    }
  }
  if (!["Cluster", "Namespaced"].includes(spec.scope)) {
    errors.push(field.notSupported("spec.scope", spec.scope, ["Cluster", "Namespaced"]));
  }
  const versions: any[] = spec.versions ?? [];
  const seen = new Set<string>();
  versions.forEach((version, i) => {
    const at = `spec.versions[${i}]`;
    if (seen.has(version.name)) errors.push(field.invalid(`${at}.name`, version.name, "must be unique"));
    seen.add(version.name);
    if (!version.schema?.openAPIV3Schema) {
      errors.push(field.required(`${at}.schema.openAPIV3Schema`, "schemas are required"));
    } else validateSchema(version.schema.openAPIV3Schema, `${at}.schema.openAPIV3Schema`, errors, 0);
  });
  const stored = versions.filter((version) => version.storage);
  if (stored.length !== 1) {
    errors.push(field.invalid(
      "spec.versions",
      versions.map((version) => version.name),
      "must have exactly one version marked as storage version",
    ));
  }
  if (old) {
    for (const name of ["group", "scope"]) {
      if (old.spec[name] !== spec[name]) errors.push(field.immutable(`spec.${name}`, spec[name]));
    }
    if (old.spec.names?.plural !== names.plural) errors.push(field.immutable("spec.names.plural", names.plural));
    if (old.spec.names?.kind !== names.kind) errors.push(field.immutable("spec.names.kind", names.kind));
    for (const name of old.status?.storedVersions ?? []) {
      if (!seen.has(name)) {
        errors.push(
          field.invalid("status.storedVersions", old.status.storedVersions, `${name}: must appear in spec.versions`),
        );
      }
    }
  }
  return errors;
}

const TYPES = ["array", "boolean", "integer", "number", "object", "string"];
const DEPTH_LIMIT = 100;

/** A structural schema: every part has a type, and the validator can read it. */
function validateSchema(schema: any, path: string, errors: FieldError[], depth: number): void {
  if (errors.length > 20) return;
  if (depth > DEPTH_LIMIT) {
    errors.push(field.invalid(path, "", `nested more than ${DEPTH_LIMIT} levels deep`));
    return;
  }
  const free = schema["x-kubernetes-int-or-string"] || schema["x-kubernetes-preserve-unknown-fields"];
  if (schema.type === undefined || schema.type === "") {
    if (!free) errors.push(field.required(`${path}.type`, "must not be empty for specified object fields"));
  } else if (!TYPES.includes(schema.type)) errors.push(field.notSupported(`${path}.type`, schema.type, TYPES));
  if (depth === 0 && schema.type !== "object") {
    errors.push(field.invalid(`${path}.type`, schema.type ?? "", "must be object at the root"));
  }
  if (schema.pattern !== undefined && schema.pattern !== "" && !isPattern(schema.pattern)) {
    errors.push(field.invalid(`${path}.pattern`, schema.pattern, "must be a valid regular expression, but isn't"));
  }
  for (const [i, { rule }] of (schema["x-kubernetes-validations"] ?? []).entries()) {
    const at = `${path}.x-kubernetes-validations[${i}].rule`;
    // Optional syntax is the one part of the language that the evaluator does not read; such rules warn when they are met.
    const problem = typeof rule === "string" && !rule.includes(".?") && !rule.includes("[?")
      ? celProblem(rule)
      : undefined;
    if (problem) errors.push(field.invalid(at, rule, `compilation failed: ERROR: ${problem}`));
  }
  for (const forbidden of ["$ref", "definitions", "dependencies", "patternProperties", "additionalItems", "id"]) {
    if (schema[forbidden] !== undefined) {
      errors.push(field.forbidden(`${path}.${forbidden}`, `${forbidden} is not supported`));
    }
  }
  if (schema.type === "array" && (typeof schema.items !== "object" || Array.isArray(schema.items))) {
    errors.push(field.required(`${path}.items`, "must be specified"));
  }
  if (schema["x-kubernetes-list-type"] === "map" && !schema["x-kubernetes-list-map-keys"]?.length) {
    errors.push(
      field.required(`${path}.x-kubernetes-list-map-keys`, "must not be empty if x-kubernetes-list-type is map"),
    );
  }
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    validateSchema(inner, `${path}.properties[${name}]`, errors, depth + 1);
  }
  if (typeof schema.items === "object" && !Array.isArray(schema.items)) {
    validateSchema(schema.items, `${path}.items`, errors, depth + 1);
  }
  if (typeof schema.additionalProperties === "object") {
    validateSchema(schema.additionalProperties, `${path}.additionalProperties`, errors, depth + 1);
  }
}
