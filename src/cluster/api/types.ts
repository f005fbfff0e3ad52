import type { KubeObject } from "../contracts.ts";
import type { NameRule } from "./names.ts";
import type { Schema } from "./schema/schema.ts";

/** One version of a resource type. */
export interface TypeVersion {
  readonly name: string;
  readonly served: boolean;
  readonly schema?: Schema;
  readonly deprecationWarning?: string;
  /** Columns after NAME, from a CustomResourceDefinition; built-ins have functions in tables/. */
  readonly columns?: PrinterColumn[];
  readonly hasStatus: boolean;
  readonly scale?: ScalePaths;
}

export interface PrinterColumn {
  name: string;
  type: string;
  format?: string;
  description?: string;
  priority?: number;
  jsonPath: string;
}

export interface ScalePaths {
  specReplicasPath: string;
  statusReplicasPath: string;
  labelSelectorPath?: string;
}

/** A problem of one field, as `metav1.StatusCause` says it. */
export interface FieldError {
  type: "Required" | "Invalid" | "NotSupported" | "Duplicate" | "Forbidden" | "TooLong" | "TooMany" | "TypeInvalid";
  field: string;
  /** The whole text after the field's path. */
  message: string;
}

/** What admission may look at. */
export interface AdmissionEnv {
  get(key: string, namespace: string, name: string): KubeObject | undefined;
  list(key: string): Iterable<KubeObject>;
}

/** What is particular to one built-in type. Functions may change the object they are given; it is a private copy. */
export interface Strategy {
  /** Fills in what the API fills in. */
  defaults?(object: KubeObject, old?: KubeObject): void;
  validate?(object: KubeObject, old?: KubeObject): FieldError[];
  /** Sets what the server alone sets on creation, such as the first status. */
  prepareCreate?(object: KubeObject): void;
  /** Brings over from the stored object what an update through this path cannot change. */
  prepareUpdate?(object: KubeObject, old: KubeObject): void;
  /** After defaults and before validation: admission that needs other objects. */
  admit?(object: KubeObject, old: KubeObject | undefined, env: AdmissionEnv): void;
  /** A status that comes with the object on creation is kept (nodes register with theirs). */
  keepsStatusOnCreate?: boolean;
  /** Objects of this type have no generation that counts changes of their spec. */
  noGeneration?: boolean;
  /** How names are checked; RFC 1123 subdomain unless told. */
  nameRule?: NameRule;
  /** Seconds that a deletion leaves the object for its owner to end it (pods). */
  gracePeriod?(object: KubeObject, requested: number | undefined): number;
}

/** A resource type with all its versions: what discovery lists once per version. */
export interface ResourceType {
  readonly group: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly listKind: string;
  readonly shortNames: string[];
  readonly categories: string[];
  readonly namespaced: boolean;
  /** In order of preference. */
  readonly versions: TypeVersion[];
  readonly storageVersion: string;
  readonly strategy: Strategy;
  /** The object in another version, where more than its apiVersion differs. */
  readonly convert?: (object: KubeObject, version: string) => KubeObject;
  /** Never stored: create answers at once (reviews). */
  readonly virtual?: boolean;
  /** Other subresources that discovery lists, with their kinds and verbs. */
  readonly subresources: Record<string, { kind: string; verbs: string[]; group?: string; version?: string }>;
  readonly crd?: KubeObject;
  /** Key in the store: `group/plural`. */
  readonly key: string;
}

/** `deployments.apps`, or `pods` for core. */
export function qualified(type: { group: string; plural: string }): string {
  return type.group === "" ? type.plural : `${type.plural}.${type.group}`;
}

/** `apps/v1`, or `v1` for core. */
export function groupVersion(group: string, version: string): string {
  return group === "" ? version : `${group}/${version}`;
}

/** Splits an apiVersion. */
export function splitApiVersion(apiVersion: string): { group: string; version: string } {
  const slash = apiVersion.indexOf("/");
  return slash < 0
    ? { group: "", version: apiVersion }
    : { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}
