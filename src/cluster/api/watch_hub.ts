import type { KubeObject, WatchEventType } from "../contracts.ts";
import type { StoreEvent } from "../store/history.ts";
import type { ObjectStore } from "../store/store.ts";
import type { Predicate } from "./selectors.ts";

export type WatchHandler = (event: WatchEventType, object: KubeObject, previous?: KubeObject) => void;

/**
 * How a change looks to a watch with a filter: an object that starts to pass is ADDED, one that no longer does is
 * DELETED. Undefined where the watch does not see it.
 */
export function filteredEvent(event: StoreEvent, passes: Predicate | undefined): WatchEventType | undefined {
  if (!passes) return event.type;
  const now = event.type !== "DELETED" && passes(event.object);
  const before = event.previous !== undefined && passes(event.previous);
  if (now) return before ? "MODIFIED" : "ADDED";
  return before ? "DELETED" : undefined;
}

/** The watches of the cluster's own parts: events arrive in the order of the writes, on a later microtask. */
export class LocalWatches {
  readonly #store: ObjectStore;
  readonly #onError: (error: unknown) => void;
  #queue: (() => void)[] = [];

  constructor(store: ObjectStore, onError: (error: unknown) => void) {
    this.#store = store;
    this.#onError = onError;
  }

  watch(key: string, handler: WatchHandler, namespace: string | undefined, passes?: Predicate): () => void {
    let ended = false;
    const existing = [...this.#store.values(key, namespace)];
    const stop = this.#store.listen(key, (event) => {
      if (namespace !== undefined && event.object.metadata.namespace !== namespace) return;
      const type = filteredEvent(event, passes);
      if (type) this.#enqueue(() => ended || handler(type, event.object, event.previous));
    });
    for (const object of existing) {
      if (!ended && (!passes || passes(object))) handler("ADDED", object);
    }
    return () => {
      ended = true;
      stop();
    };
  }

  #enqueue(deliver: () => void): void {
    if (this.#queue.length === 0) queueMicrotask(() => this.#drain());
    this.#queue.push(deliver);
  }

  #drain(): void {
    // Writes made by handlers join the end of the same queue.
    for (let i = 0; i < this.#queue.length; i++) {
      try {
        this.#queue[i]();
      } catch (error) {
        this.#onError(error);
      }
    }
    this.#queue = [];
  }
}
