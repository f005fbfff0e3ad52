import { ApiError } from "../api_error.ts";
import type { DeleteOptions, KubeObject } from "../contracts.ts";
import { jsonEqual } from "../store/freeze.ts";
import type { ObjectStore } from "../store/store.ts";
import type { WriteContext } from "./context.ts";
import { alreadyExists, conflict, invalid, MODIFIED, notFound } from "./errors.ts";
import { decodeObject } from "./object_decoding.ts";
import { planDeletion, readyToGo } from "./deletion.ts";
import { type Manager, recordManagedFields } from "./ssa/managed.ts";
import { carryMetadata, tidyMetadata, timestamp, validateMetadata } from "./metadata.ts";
import { generateName } from "./names.ts";
import type { TypeRegistry } from "./registry.ts";
import { validateRequired } from "./schema/required.ts";
import type { AdmissionEnv, FieldError, ResourceType, TypeVersion } from "./types.ts";
import { applyDefaults } from "./crd/decode_object.ts";
import { validateCustomObject } from "./crd/validate_object.ts";

export interface CoreOptions {
  store: ObjectStore;
  registry: TypeRegistry;
  now(): number;
}

/** Says how an object of a type without content of its own is named in `Invalid` messages. */
function invalidObject(type: ResourceType, name: string, errors: FieldError[]): ApiError {
  return invalid(type.kind, type.group, name, errors);
}

/**
 * Reads and writes of objects with the API's semantics: admission, defaults, validation, optimistic concurrency,
 * finalizers. Knows nothing of HTTP or of who may do what. Everything is synchronous, so every write is atomic.
 */
export class ApiCore {
  readonly store: ObjectStore;
  readonly registry: TypeRegistry;
  readonly now: () => number;
  readonly #env: AdmissionEnv;

  constructor({ store, registry, now }: CoreOptions) {
    this.store = store;
    this.registry = registry;
    this.now = now;
    this.#env = {
      get: (key, namespace, name) => store.get(key, namespace, name),
      list: (key) => store.values(key),
    };
  }

  find(type: ResourceType, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.store.get(type.key, type.namespaced ? namespace ?? "" : "", name);
  }

  get(type: ResourceType, namespace: string | undefined, name: string): KubeObject {
    const object = this.find(type, namespace, name);
    if (!object) throw notFound(type, name);
    return object;
  }

  create(
    type: ResourceType,
    version: TypeVersion,
    namespace: string | undefined,
    raw: unknown,
    context: WriteContext,
    applied?: Manager[],
  ): KubeObject {
    const object = decodeObject(type, version, raw, context);
    const { metadata } = object;
    this.#placeInNamespace(type, object, namespace);
    if (!metadata.name && metadata.generateName) {
      do metadata.name = generateName(metadata.generateName); while (
        this.find(type, metadata.namespace, metadata.name)
      );
    }
    if (!metadata.name) {
      throw invalidObject(type, "", [{
        type: "Required",
        field: "metadata.name",
        message: "Required value: name or generateName is required",
      }]);
    }
    if (metadata.resourceVersion) {
      throw ApiError.badRequest("resourceVersion should not be set on objects to be created");
    }
    if (type.namespaced) this.#requireLiveNamespace(type, metadata.namespace!, metadata.name);

    for (const key of ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"]) {
      delete metadata[key];
    }
    metadata.uid = crypto.randomUUID();
    metadata.creationTimestamp = timestamp(this.now());
    if (!type.strategy.noGeneration) metadata.generation = 1;
    if (version.hasStatus && !type.strategy.keepsStatusOnCreate) {
      delete object.status;
      // A definition may give the status a default, which shows until a controller writes one.
      if (type.crd && version.schema) applyDefaults(version.schema, object);
    }
    type.strategy.defaults?.(object);
    type.strategy.prepareCreate?.(object);
    type.strategy.admit?.(object, undefined, this.#env);
    this.#validate(type, version, object, undefined, context);
    if (this.find(type, metadata.namespace, metadata.name)) throw alreadyExists(type, metadata.name);
    tidyMetadata(metadata);
    recordManagedFields({ type, version, object, context, now: this.now(), applied });
    return context.dryRun ? object : this.store.put(type.key, this.#toStorage(type, object));
  }

  update(
    type: ResourceType,
    version: TypeVersion,
    namespace: string | undefined,
    name: string,
    raw: unknown,
    context: WriteContext,
    subresource?: string,
  ): KubeObject {
    const old = this.get(type, namespace, name);
    const next = decodeObject(type, version, raw, context);
    if (next.metadata.name && next.metadata.name !== name) {
      throw ApiError.badRequest(
        `the name of the object (${next.metadata.name}) does not match the name on the URL (${name})`,
      );
    }
    if (type.namespaced && next.metadata.namespace && next.metadata.namespace !== old.metadata.namespace) {
      throw ApiError.badRequest(
        "the namespace of the provided object does not match the namespace sent on the request",
      );
    }
    return this.replace(type, version, old, next, context, subresource);
  }

  /** Puts a decoded object in the place of `old`. `next` is a private copy. */
  replace(
    type: ResourceType,
    version: TypeVersion,
    old: KubeObject,
    next: KubeObject,
    context: WriteContext,
    subresource?: string,
    applied?: Manager[],
  ): KubeObject {
    const name = old.metadata.name;
    const wanted = next.metadata.resourceVersion;
    if (wanted && wanted !== old.metadata.resourceVersion) throw conflict(type, name, MODIFIED);
    if (next.metadata.uid && next.metadata.uid !== old.metadata.uid) {
      throw conflict(
        type,
        name,
        `Precondition failed: UID in precondition: ${next.metadata.uid}, UID in object meta: ${old.metadata.uid}`,
      );
    }
    const metadata = carryMetadata(next.metadata, old.metadata);
    let object: KubeObject;
    if (subresource === "status") {
      object = {
        ...old,
        metadata: type.crd
          ? { ...old.metadata, managedFields: metadata.managedFields }
          : { ...metadata, ownerReferences: old.metadata.ownerReferences },
      };
      if (next.status === undefined) delete object.status;
      else object.status = next.status;
      tidyMetadata(object.metadata);
    } else if (subresource !== undefined) {
      object = { ...next, metadata };
    } else {
      object = { ...next, metadata };
      if (version.hasStatus) {
        if (old.status === undefined) delete object.status;
        else object.status = old.status;
      }
      if (type.crd && version.schema) applyDefaults(version.schema, object);
      type.strategy.prepareUpdate?.(object, old);
      type.strategy.defaults?.(object, old);
      type.strategy.admit?.(object, old, this.#env);
    }
    object.apiVersion = old.apiVersion;
    this.#validate(type, version, object, old, context, subresource);
    recordManagedFields({ type, version, object, old, context, now: this.now(), subresource, applied });
    if (sameButManagedTimes(old, object)) return old;
    if (!type.strategy.noGeneration && subresource !== "status" && contentChanged(old, object, version.hasStatus)) {
      object.metadata.generation = (old.metadata.generation ?? 0) + 1;
    }
    if (context.dryRun) return object;
    if (object.metadata.deletionTimestamp && readyToGo(type, object)) {
      return this.store.remove(type.key, object.metadata.namespace ?? "", name)!;
    }
    return this.store.put(type.key, this.#toStorage(type, object));
  }

  /** Starts or completes a deletion. Returns the object as it is then, and whether it is gone. */
  delete(
    type: ResourceType,
    namespace: string | undefined,
    name: string,
    options: DeleteOptions & { dryRun?: boolean } = {},
  ): { object: KubeObject; gone: boolean } {
    const old = this.get(type, namespace, name);
    const plan = planDeletion(type, old, options, this.now());
    if (options.dryRun) return { object: plan.marked ?? old, gone: plan.marked === undefined };
    if (!plan.marked) return { object: this.store.remove(type.key, old.metadata.namespace ?? "", name)!, gone: true };
    return { object: plan.marked === old ? old : this.store.put(type.key, plan.marked), gone: false };
  }

  #placeInNamespace(type: ResourceType, object: KubeObject, namespace: string | undefined): void {
    const { metadata } = object;
    if (!type.namespaced) {
      if (metadata.namespace) throw ApiError.badRequest("namespace is not allowed on this type");
      delete metadata.namespace;
      return;
    }
    if (namespace !== undefined && metadata.namespace && metadata.namespace !== namespace) {
      throw ApiError.badRequest(
        "the namespace of the provided object does not match the namespace sent on the request",
      );
    }
    metadata.namespace ||= namespace;
    if (!metadata.namespace) throw ApiError.badRequest("an empty namespace may not be set during creation");
  }

  #requireLiveNamespace(type: ResourceType, namespace: string, name: string): void {
    const found = this.store.get("/namespaces", "", namespace);
    if (!found) throw ApiError.notFound("namespaces", "", namespace);
    if (!found.metadata.deletionTimestamp) return;
    throw ApiError.forbidden(
      `${
        type.group === "" ? type.plural : `${type.plural}.${type.group}`
      } "${name}" is forbidden: unable to create new ` +
        `content in namespace ${namespace} because it is being terminated`,
      {
        name,
        group: type.group,
        kind: type.plural,
        causes: [{
          reason: "NamespaceTerminating",
          message: `namespace ${namespace} is being terminated`,
          field: "metadata.namespace",
        }],
      },
    );
  }

  #validate(
    type: ResourceType,
    version: TypeVersion,
    object: KubeObject,
    old: KubeObject | undefined,
    context: WriteContext,
    subresource?: string,
  ): void {
    const errors = validateMetadata(object, type.strategy.nameRule ?? "subdomain", old);
    if (type.crd) errors.push(...validateCustomObject(version, object, old, context.warnings));
    else if (subresource === undefined) {
      errors.push(...validateRequired(version.schema!, object));
      // Fields that are missing would be reported a second time.
      const missing = new Set(errors.map((error) => error.field));
      for (const error of type.strategy.validate?.(object, old) ?? []) {
        if (!missing.has(error.field)) errors.push(error);
      }
    }
    if (errors.length > 0) throw invalidObject(type, object.metadata.name, errors);
  }

  /** Custom objects are stored in one version; conversion changes the version's name only (strategy None). */
  #toStorage(type: ResourceType, object: KubeObject): KubeObject {
    const apiVersion = type.group === "" ? type.storageVersion : `${type.group}/${type.storageVersion}`;
    return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
  }
}

/** Whether a write would change nothing but the times in managedFields. */
function sameButManagedTimes(old: KubeObject, next: KubeObject): boolean {
  const strip = (object: KubeObject) => {
    const managedFields = object.metadata.managedFields?.map((entry: any) => ({ ...entry, time: undefined }));
    return { ...object, metadata: { ...object.metadata, managedFields } };
  };
  return jsonEqual(strip(old), strip(next));
}

/** Whether anything changed that counts for `metadata.generation`. */
function contentChanged(old: KubeObject, next: KubeObject, hasStatus: boolean): boolean {
  const keys = new Set([...Object.keys(old), ...Object.keys(next)]);
  for (const key of keys) {
    if (key === "metadata" || key === "apiVersion" || key === "kind" || (key === "status" && hasStatus)) continue;
    if (!jsonEqual(old[key], next[key])) return true;
  }
  return false;
}
