import { ApiError } from "../api_error.ts";
import type {
  ClusterApi,
  DeleteOptions,
  GroupResource,
  KubeObject,
  ListFilter,
  PatchType,
  WatchEventType,
  WriteOptions,
} from "../contracts.ts";
import { systemContext, type WriteContext } from "./context.ts";
import type { ApiCore } from "./core.ts";
import { unknownPath } from "./errors.ts";
import { patchObject } from "./patching.ts";
import { storedVersion } from "./registry.ts";
import { parseFieldSelector, parseLabelSelector, type Predicate } from "./selectors.ts";
import { writeSubresource } from "./subresources.ts";
import type { ResourceType, TypeVersion } from "./types.ts";
import { LocalWatches } from "./watch_hub.ts";

/** The API as the cluster's own parts use it, with the rights of `system:masters`. */
export class LocalApi implements ClusterApi {
  readonly #core: ApiCore;
  readonly #watches: LocalWatches;

  constructor(core: ApiCore, onHandlerError: (error: unknown) => void) {
    this.#core = core;
    this.#watches = new LocalWatches(core.store, onHandlerError);
  }

  get({ group, resource }: GroupResource, namespace: string | undefined, name: string): KubeObject | undefined {
    const type = this.#core.registry.get(group, resource);
    return type && this.#core.find(type, namespace, name);
  }

  list({ group, resource }: GroupResource, filter: ListFilter = {}): KubeObject[] {
    const type = this.#core.registry.get(group, resource);
    if (!type) return [];
    const passes = predicate(type.key, type.kind, filter);
    const result: KubeObject[] = [];
    for (const object of this.#core.store.values(type.key, filter.namespace)) {
      if (!passes || passes(object)) result.push(object);
    }
    return result;
  }

  create({ group, resource }: GroupResource, object: KubeObject, options: WriteOptions = {}): KubeObject {
    const type = this.#need(group, resource);
    const context = contextOf(options);
    if (options.subresource) {
      return writeSubresource(
        this.#core,
        type,
        options.subresource,
        "create",
        object.metadata.namespace,
        object.metadata.name,
        object,
        context,
      );
    }
    return this.#core.create(type, versionOf(type, object), undefined, withType(type, object), context);
  }

  update({ group, resource }: GroupResource, object: KubeObject, options: WriteOptions = {}): KubeObject {
    const type = this.#need(group, resource);
    const { namespace, name } = object.metadata;
    const context = contextOf(options);
    if (options.subresource && options.subresource !== "status") {
      return writeSubresource(this.#core, type, options.subresource, "update", namespace, name, object, context);
    }
    return this.#core.update(
      type,
      versionOf(type, object),
      namespace,
      name,
      withType(type, object),
      context,
      options.subresource,
    );
  }

  patch(
    { group, resource }: GroupResource,
    namespace: string | undefined,
    name: string,
    patchType: PatchType,
    patch: unknown,
    options: WriteOptions = {},
  ): KubeObject {
    const type = this.#need(group, resource);
    return patchObject(
      this.#core,
      type,
      storedVersion(type),
      namespace,
      name,
      patchType,
      patch,
      contextOf(options),
      options.subresource,
    );
  }

  delete(
    { group, resource }: GroupResource,
    namespace: string | undefined,
    name: string,
    options: DeleteOptions = {},
  ): void {
    this.#core.delete(this.#need(group, resource), namespace, name, options);
  }

  watch(
    { group, resource }: GroupResource,
    handler: (event: WatchEventType, object: KubeObject, previous?: KubeObject) => void,
    filter: ListFilter = {},
  ): () => void {
    const key = `${group}/${resource}`;
    return this.#watches.watch(key, handler, filter.namespace, predicate(key, resource, filter));
  }

  #need(group: string, resource: string): ResourceType {
    const type = this.#core.registry.get(group, resource);
    if (!type) {
      throw new ApiError(404, "NotFound", `${unknownPath().message}: ${resource}${group === "" ? "" : `.${group}`}`);
    }
    return type;
  }
}

function contextOf({ fieldManager, force, dryRun }: WriteOptions): WriteContext {
  return systemContext({ fieldManager, force, dryRun });
}

function predicate(key: string, kind: string, filter: ListFilter): Predicate | undefined {
  const tests: Predicate[] = [];
  if (filter.labelSelector) tests.push(parseLabelSelector(filter.labelSelector));
  if (filter.fieldSelector) tests.push(parseFieldSelector(key, kind, filter.fieldSelector));
  return tests.length === 0 ? undefined : (object) => tests.every((test) => test(object));
}

/** The version that an object says it is in; the stored one where it says nothing known. */
function versionOf(type: ResourceType, object: KubeObject): TypeVersion {
  const name = object.apiVersion?.slice(object.apiVersion.lastIndexOf("/") + 1);
  return type.versions.find((version) => version.name === name) ?? storedVersion(type);
}

/** Code inside the cluster may leave out what the type says anyway. */
function withType(type: ResourceType, object: KubeObject): KubeObject {
  if (object.apiVersion && object.kind) return object;
  const apiVersion = type.group === "" ? type.storageVersion : `${type.group}/${type.storageVersion}`;
  return { ...object, apiVersion: object.apiVersion ?? apiVersion, kind: object.kind ?? type.kind };
}
