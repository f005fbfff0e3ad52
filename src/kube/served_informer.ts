// Copies of types whose definitions come and go: the definitions are watched, and each type is read in the best version served.

import type { Logger } from "../telemetry/logger.ts";
import type { KubeClient } from "./client.ts";
import { Informer, type InformerTiming } from "./informer.ts";
import { type Resource, resourceName, RESOURCES } from "./resources.ts";
import { type Change, Store } from "./store.ts";
import type { KubeObject } from "./types.ts";

/** What informers of fixed and of served types have in common. */
export interface ObjectSource<T extends KubeObject = KubeObject> {
  readonly store: Store<T>;
  /** Resolves when the store has its first full content. */
  readonly synced: Promise<void>;
  onChange(handler: (changes: readonly Change<T>[]) => void): () => void;
  start(): void;
  stop(): Promise<void>;
}

/** A custom type, with the versions that the reader understands, best first. */
export interface ServedType {
  readonly group: string;
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly versions: readonly string[];
}

export interface ServedInformerOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly definitions: DefinitionWatch;
  readonly type: ServedType;
  readonly logger: Logger;
  readonly transform?: (object: T) => T;
  readonly timing?: Partial<InformerTiming>;
}

/**
 * An informer of a type that is read while a CustomResourceDefinition serves it, in the first of its versions that is served. The store
 * stays the same when the version changes, and becomes empty when the definition goes.
 */
export class ServedInformer<T extends KubeObject = KubeObject> implements ObjectSource<T> {
  readonly store = new Store<T>();
  readonly synced: Promise<void>;
  readonly #options: ServedInformerOptions<T>;
  readonly #handlers = new Set<(changes: readonly Change<T>[]) => void>();
  readonly #servedHandlers = new Set<(type: Resource | undefined) => void>();
  #inner: Informer<T> | undefined;
  #wanted: string | undefined;
  /** Switches, one after the other. */
  #switching: Promise<void> = Promise.resolve();
  #markSynced!: () => void;
  #unfollow: (() => void) | undefined;
  #stopped = false;

  constructor(options: ServedInformerOptions<T>) {
    this.#options = options;
    this.synced = new Promise((resolve) => this.#markSynced = resolve);
  }

  /** The type in the version that is read now; undefined while it is not served. */
  get type(): Resource | undefined {
    return this.#inner?.type;
  }

  onChange(handler: (changes: readonly Change<T>[]) => void): () => void {
    this.#handlers.add(handler);
    if (this.store.size > 0) handler([...this.store.values()].map((object) => ({ type: "added", object })));
    return () => this.#handlers.delete(handler);
  }

  /** Calls `handler` when the type is served, again or in another version, and its objects are known; and when it is not any more. */
  onServed(handler: (type: Resource | undefined) => void): void {
    this.#servedHandlers.add(handler);
    if (this.#inner?.hasSynced) handler(this.type);
  }

  start(): void {
    const { definitions, type } = this.#options;
    this.#unfollow ??= definitions.follow(`${type.resource}.${type.group}`, (served) => {
      const version = type.versions.find((version) => served.has(version));
      if (version === this.#wanted && version !== undefined) return;
      this.#wanted = version;
      this.#switching = this.#switching.then(() => this.#use(version));
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unfollow?.();
    await this.#switching;
    await this.#inner?.stop();
  }

  async #use(version: string | undefined): Promise<void> {
    const { client, logger, transform, timing, type: { versions: _, ...type } } = this.#options;
    if (this.#stopped || version !== this.#wanted || version === this.#inner?.type.version) {
      if (version === undefined) this.#markSynced();
      return;
    }
    await this.#inner?.stop();
    this.#inner = undefined;
    if (version === undefined) {
      logger.info("resource type not served any more", { type: `${type.resource}.${type.group}` });
      const gone = [...this.store.keys()].map((key) => this.store.delete(key)!);
      this.#notify(gone.map((object) => ({ type: "deleted", object })));
      this.#tell();
      return this.#markSynced();
    }
    const resource: Resource = { ...type, version };
    logger.debug("reading a served type", { type: resourceName(resource), version });
    const inner = new Informer<T>({
      client,
      type: resource,
      logger,
      transform,
      timing,
      optional: true,
      store: this.store,
    });
    inner.onChange((changes) => this.#notify(changes));
    inner.synced.then(() => {
      this.#markSynced();
      if (this.#inner === inner) this.#tell();
    });
    this.#inner = inner;
    inner.start();
  }

  #tell(): void {
    for (const handler of this.#servedHandlers) handler(this.type);
  }

  #notify(changes: readonly Change<T>[]): void {
    if (changes.length > 0) { for (const handler of this.#handlers) handler(changes); }
  }
}

const NO_VERSIONS: ReadonlySet<string> = new Set();

/** Follows which versions of custom types are served. */
export class DefinitionWatch {
  readonly #informer: Informer;
  readonly #followers = new Map<string, Set<(served: ReadonlySet<string>) => void>>();

  constructor(options: { client: KubeClient; logger: Logger; timing?: Partial<InformerTiming> }) {
    this.#informer = new Informer({ ...options, type: RESOURCES.crds, transform: leanDefinition });
    this.#informer.onChange((changes) => {
      for (const { object } of changes) this.#tell(object.metadata.name);
    });
  }

  start(): void {
    this.#informer.start();
    // What is not defined counts as known too.
    this.#informer.synced.then(() => {
      for (const name of this.#followers.keys()) if (!this.#informer.store.has(name)) this.#tell(name);
    });
  }

  async stop(): Promise<void> {
    await this.#informer.stop();
  }

  /** Tells `handler` the served versions of `plural.group`, now if they are known and whenever they change. */
  follow(name: string, handler: (served: ReadonlySet<string>) => void): () => void {
    let handlers = this.#followers.get(name);
    if (!handlers) this.#followers.set(name, handlers = new Set());
    handlers.add(handler);
    if (this.#informer.hasSynced) handler(this.#served(name));
    return () => handlers.delete(handler);
  }

  #tell(name: string): void {
    const served = this.#served(name);
    for (const handler of this.#followers.get(name) ?? []) handler(served);
  }

  #served(name: string): ReadonlySet<string> {
    const definition = this.#informer.store.get(name);
    return definition && definition.established ? new Set(definition.versions) : NO_VERSIONS;
  }
}

/** Of a definition, which may be a megabyte of schema, what says whether it is served. */
function leanDefinition({ metadata, spec, status }: KubeObject): KubeObject {
  const { name, uid, resourceVersion, deletionTimestamp } = metadata;
  const established = status?.conditions?.some(({ type, status }: Record<string, string>) =>
    type === "Established" && status === "True"
  );
  return {
    metadata: { name, uid, resourceVersion },
    versions: (spec?.versions ?? []).flatMap((one: Record<string, any>) => one.served ? [one.name] : []),
    established: established === true && deletionTimestamp === undefined,
  };
}
