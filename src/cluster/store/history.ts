import type { KubeObject } from "../contracts.ts";

/** One change of one object. `object` carries the revision of the change, also when it is the last one (DELETED). */
export interface StoreEvent {
  readonly revision: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: KubeObject;
  readonly previous?: KubeObject;
}

/** The latest events of one type, so that a watch can start at a revision that has passed. */
export class EventWindow {
  readonly #capacity: number;
  #events: StoreEvent[] = [];
  /** Events at or below this revision are forgotten. */
  #floor: number;

  constructor(capacity: number, floor: number) {
    this.#capacity = capacity;
    this.#floor = floor;
  }

  push(event: StoreEvent): void {
    this.#events.push(event);
    if (this.#events.length < this.#capacity * 2) return;
    const dropped = this.#events.length - this.#capacity;
    this.#floor = this.#events[dropped - 1].revision;
    this.#events = this.#events.slice(dropped);
  }

  /** The events after `revision`, or undefined when some of them are forgotten. */
  since(revision: number): StoreEvent[] | undefined {
    if (revision < this.#floor) return undefined;
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#events[middle].revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#events.slice(low);
  }
}
