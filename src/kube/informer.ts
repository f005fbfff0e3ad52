// Keeps a local copy of the objects of one type: list, then watch from there, forever (client-go's reflector).

import { Backoff, sleep } from "../core/backoff.ts";
import { describeError } from "../core/errors.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { KubeClient } from "./client.ts";
import { isApiStatus, KubeApiError } from "./errors.ts";
import { type Resource, resourceName } from "./resources.ts";
import { type Change, Store } from "./store.ts";
import { type KubeObject, objectKey } from "./types.ts";

export interface InformerOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly type: Resource;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly logger: Logger;
  /** Drops what nobody reads before an object is stored. */
  readonly transform?: (object: T) => T;
  /** A type that may not be served (a CRD): counts as empty until it is, and again when it goes. */
  readonly optional?: boolean;
  readonly timing?: Partial<InformerTiming>;
  /** Where objects are kept; a new store by default. What it holds already is compared with the first list. */
  readonly store?: Store<T>;
}

/** Waits in milliseconds. */
export interface InformerTiming {
  /** How often a type that is not served is looked for. */
  readonly absentPollMs: number;
  /** First and longest wait between attempts; every wait is spread by half of itself, so that informers do not come all at once. */
  readonly retryMs: number;
  readonly retryMaxMs: number;
  /** Watches are begun anew after this, and up to as much later again. */
  readonly watchMs: number;
}

/** client-go's waits, with a lower ceiling: an API that is back should be seen soon. */
const TIMING: InformerTiming = { absentPollMs: 2_000, retryMs: 800, retryMaxMs: 15_000, watchMs: 300_000 };

/**
 * A local copy of the objects of one type. `onChange` hears of changes in batches, in order; the store is already up to date then.
 * Losing the API loses nothing: the copy stays, and the difference is made up when it is back.
 */
export class Informer<T extends KubeObject = KubeObject> {
  readonly store: Store<T>;
  /** Resolves when the store has its first full content. */
  readonly synced: Promise<void>;
  readonly type: Resource;
  readonly #options: InformerOptions<T>;
  readonly #timing: InformerTiming;
  readonly #handlers = new Set<(changes: readonly Change<T>[]) => void>();
  #markSynced!: () => void;
  #hasSynced = false;
  #running: { stop: AbortController; done: Promise<void> } | undefined;
  /** Last resourceVersion seen; "" when a list is due. */
  #version = "";
  #failing = false;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.type = options.type;
    this.store = options.store ?? new Store<T>();
    this.#timing = { ...TIMING, ...options.timing };
    this.synced = new Promise((resolve) => this.#markSynced = resolve);
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** Calls `handler` for what is in the store now, if anything is, and after every change until the returned function is called. */
  onChange(handler: (changes: readonly Change<T>[]) => void): () => void {
    this.#handlers.add(handler);
    if (this.store.size > 0) handler([...this.store.values()].map((object) => ({ type: "added", object })));
    return () => this.#handlers.delete(handler);
  }

  start(): void {
    if (this.#running) return;
    const stop = new AbortController();
    this.#running = { stop, done: this.#run(stop.signal) };
  }

  async stop(): Promise<void> {
    this.#running?.stop.abort();
    await this.#running?.done;
    this.#running = undefined;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { retryMs, retryMaxMs, absentPollMs } = this.#timing;
    const backoff = new Backoff({ initialMs: retryMs, maxMs: retryMaxMs, jitter: 0.5 });
    let quickRelists = 0;
    while (!signal.aborted) {
      try {
        if (this.#version === "") await this.#list(signal);
        if (await this.#watch(signal)) {
          backoff.reset();
          quickRelists = 0;
        } // A watch that ends at once would be a busy loop.
        else await sleep(backoff.next(), signal);
      } catch (error) {
        if (signal.aborted) return;
        if (this.#options.optional && isApiStatus(error, 404)) {
          this.#absent();
          await sleep(absentPollMs, signal);
          continue;
        }
        if (error instanceof KubeApiError) this.#version = "";
        // What expired is listed again at once, but a server that always says so must not be asked without pause.
        if (isApiStatus(error, 410) && quickRelists++ < 1) continue;
        const waitMs = backoff.next();
        this.#complain(error, waitMs);
        await sleep(waitMs, signal);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, type, namespace, labelSelector, fieldSelector, transform } = this.#options;
    const { items, resourceVersion } = await client.list<T>(type, { namespace, labelSelector, fieldSelector, signal });
    signal.throwIfAborted();
    const changes: Change<T>[] = [], seen = new Set<string>();
    for (const item of items) {
      const key = objectKey(item), old = this.store.get(key);
      seen.add(key);
      if (old && sameVersion(old, item)) continue;
      if (old && old.metadata.uid !== item.metadata.uid) changes.push(...this.#remove(key));
      changes.push(this.#put(transform ? transform(item) : item));
    }
    for (const key of [...this.store.keys()]) if (!seen.has(key)) changes.push(...this.#remove(key));
    this.#version = resourceVersion;
    this.#recovered();
    this.#notify(changes);
    this.#sync();
  }

  /** Follows one watch to its end; whether it was worth something (an event, or a while of life). */
  async #watch(signal: AbortSignal): Promise<boolean> {
    const { client, type, namespace, labelSelector, fieldSelector, transform } = this.#options;
    const { watchMs, retryMs } = this.#timing;
    const timeoutSeconds = Math.ceil(watchMs * (1 + Math.random()) / 1000);
    const startedAt = performance.now();
    let heard = false;
    const batches = client.watch<T>(type, {
      namespace,
      labelSelector,
      fieldSelector,
      resourceVersion: this.#version,
      timeoutSeconds,
      signal,
    });
    for await (const events of batches) {
      signal.throwIfAborted();
      if (!heard) this.#recovered();
      heard = true;
      const changes: Change<T>[] = [];
      for (const { type: event, object } of events) {
        this.#version = object.metadata?.resourceVersion ?? this.#version;
        if (event === "BOOKMARK") continue;
        const key = objectKey(object);
        if (event === "DELETED") changes.push(...this.#remove(key, transform ? transform(object) : object));
        else if (!sameVersion(this.store.get(key), object)) {
          changes.push(this.#put(transform ? transform(object) : object));
        }
      }
      this.#notify(changes);
    }
    return heard || performance.now() - startedAt > retryMs;
  }

  #put(object: T): Change<T> {
    const old = this.store.set(object);
    return old ? { type: "updated", object, old } : { type: "added", object };
  }

  #remove(key: string, last?: T): Change<T>[] {
    const old = this.store.delete(key);
    return old ? [{ type: "deleted", object: last ?? old }] : [];
  }

  /** The type is not served: nothing of it exists. */
  #absent(): void {
    if (this.store.size > 0 || !this.#hasSynced) {
      this.#options.logger.info("resource type not served; waiting for it", { type: resourceName(this.type) });
    }
    this.#version = "";
    this.#notify([...this.store.keys()].flatMap((key) => this.#remove(key)));
    this.#sync();
  }

  #notify(changes: readonly Change<T>[]): void {
    if (changes.length === 0) return;
    for (const handler of this.#handlers) {
      try {
        handler(changes);
      } catch (error) {
        // A reader's mistake must not end the copy that others read.
        this.#options.logger.error("a change could not be handled", {
          type: resourceName(this.type),
          error: describeError(error),
        });
      }
    }
  }

  #sync(): void {
    if (this.#hasSynced) return;
    this.#hasSynced = true;
    this.#markSynced();
  }

  #complain(error: unknown, waitMs: number): void {
    this.#failing = true;
    this.#options.logger.warn("cannot watch; the last known state stays in use", {
      type: resourceName(this.type),
      error: describeError(error),
      retry_in: `${Math.round(waitMs)}ms`,
    });
  }

  #recovered(): void {
    if (!this.#failing) return;
    this.#failing = false;
    this.#options.logger.info("watching again", { type: resourceName(this.type) });
  }
}

function sameVersion(a: KubeObject | undefined, b: KubeObject): boolean {
  return a !== undefined && a.metadata.resourceVersion !== undefined &&
    a.metadata.resourceVersion === b.metadata.resourceVersion && a.metadata.uid === b.metadata.uid &&
    // Read in another version of its type; transforms may have left it out.
    (a.apiVersion === undefined || b.apiVersion === undefined || a.apiVersion === b.apiVersion);
}
