import { ApiError } from "../../api_error.ts";
import type { ClusterApi, KubeObject } from "../../contracts.ts";
import type { Caches, ObjectCache } from "./cache.ts";
import type { Clock } from "../../../core/clock.ts";
import { timestamp } from "./time.ts";
import type { Runner } from "./runner.ts";
import { EVENTS } from "./types.ts";
import type { WorkQueue } from "./work_queue.ts";

/** kube-apiserver's --event-ttl. */
const TTL_MS = 3_600_000;
const SWEEP_MS = 60_000;
/** A cluster in trouble must not fill its store with the story of it. */
const MAX_EVENTS = 2000;
/** What the recorder remembers of events written, to count repetitions; client-go's LRU is as long. */
const MAX_REMEMBERED = 4096;
/** client-go's spam filter: this many events of one component on one object at once, then one in five minutes. */
const BURST = 25;
const REFILL_MS = 300_000;

interface Remembered {
  object: KubeObject;
  type: "Normal" | "Warning";
  reason: string;
  message: string;
  component: string;
  host?: string;
  firstMs: number;
  lastMs: number;
  count: number;
  /** Name of the Event, once written. */
  name?: string;
}

/**
 * Writes the Events that `kubectl describe` shows. Writing happens behind, when the controllers have nothing better to
 * do; repetitions raise `count`; old Events go after an hour, and the oldest ones sooner where there are many.
 */
export class EventRecorder {
  readonly #api: ClusterApi;
  readonly #clock: Clock;
  readonly #queue: WorkQueue;
  readonly #cache: ObjectCache;
  readonly #remembered = new Map<string, Remembered>();
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();
  readonly #sweeps: WorkQueue;
  #serial = 0;

  constructor({ api, clock, runner, caches }: { api: ClusterApi; clock: Clock; runner: Runner; caches: Caches }) {
    this.#api = api;
    this.#clock = clock;
    this.#cache = caches.of(EVENTS);
    this.#queue = runner.register("events", (key) => this.#write(key), { background: true });
    this.#sweeps = runner.register("event-ttl", () => this.#sweep(), { background: true });
    this.#sweeps.addAfter("sweep", SWEEP_MS);
    this.#cache.onChange(() => {
      if (this.#cache.size > MAX_EVENTS) this.#sweeps.add("sweep");
    });
  }

  normal(object: KubeObject, component: string, reason: string, message: string): void {
    this.#record(object, "Normal", component, reason, message);
  }

  warning(object: KubeObject, component: string, reason: string, message: string): void {
    this.#record(object, "Warning", component, reason, message);
  }

  #record(object: KubeObject, type: "Normal" | "Warning", component: string, reason: string, message: string): void {
    const subject = `${component}|${object.metadata.uid ?? object.metadata.name}`;
    const key = `${subject}|${type}|${reason}|${message}`;
    const now = this.#clock.now();
    const known = this.#remembered.get(key);
    if (!this.#admit(subject, now)) return;
    if (known) {
      known.count++;
      known.lastMs = now;
      this.#remembered.delete(key);
      this.#remembered.set(key, known);
    } else {
      this.#remembered.set(key, { object, type, reason, message, component, firstMs: now, lastMs: now, count: 1 });
      if (this.#remembered.size > MAX_REMEMBERED) this.#remembered.delete(first(this.#remembered));
    }
    this.#queue.add(key);
  }

  /** A token bucket per component and object. */
  #admit(subject: string, now: number): boolean {
    const bucket = this.#buckets.get(subject) ?? { tokens: BURST, atMs: now };
    bucket.tokens = Math.min(BURST, bucket.tokens + (now - bucket.atMs) / REFILL_MS);
    bucket.atMs = now;
    this.#buckets.delete(subject);
    this.#buckets.set(subject, bucket);
    if (this.#buckets.size > MAX_REMEMBERED) this.#buckets.delete(first(this.#buckets));
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  #write(key: string): void {
    const event = this.#remembered.get(key);
    if (!event) return;
    const { object } = event;
    const namespace = object.metadata.namespace ?? "default";
    try {
      if (event.name !== undefined && this.#cache.find(namespace, event.name)) {
        this.#api.patch(EVENTS, namespace, event.name, "merge", {
          count: event.count,
          lastTimestamp: timestamp(event.lastMs),
        });
        return;
      }
      const nanoseconds = BigInt(event.lastMs) * 1_000_000n + BigInt(this.#serial++ % 1_000_000);
      const name = `${object.metadata.name}.${nanoseconds.toString(16)}`;
      this.#api.create(EVENTS, {
        apiVersion: "v1",
        kind: "Event",
        metadata: { name, namespace },
        involvedObject: {
          apiVersion: object.apiVersion,
          kind: object.kind,
          name: object.metadata.name,
          ...(object.metadata.namespace ? { namespace: object.metadata.namespace } : {}),
          uid: object.metadata.uid,
          resourceVersion: object.metadata.resourceVersion,
        },
        reason: event.reason,
        message: event.message,
        type: event.type,
        source: { component: event.component },
        reportingComponent: event.component,
        reportingInstance: "",
        firstTimestamp: timestamp(event.firstMs),
        lastTimestamp: timestamp(event.lastMs),
        count: event.count,
        eventTime: null,
      });
      event.name = name;
    } catch (thrown) {
      // A namespace on its way out takes no Events, and an Event is never worth a retry.
      if (!(thrown instanceof ApiError)) throw thrown;
    }
  }

  #sweep(): void {
    const now = this.#clock.now();
    const aged = [...this.#cache.all()].map((event) => ({ event, atMs: lastSeen(event) })).sort((a, b) =>
      a.atMs - b.atMs
    );
    const surplus = aged.length > MAX_EVENTS ? aged.length - Math.floor(MAX_EVENTS * 0.9) : 0;
    let deleted = 0;
    for (const [at, { event, atMs }] of aged.entries()) {
      if (at >= surplus && now - atMs < TTL_MS) break;
      if (deleted++ >= 50) return this.#sweeps.add("sweep");
      try {
        this.#api.delete(EVENTS, event.metadata.namespace, event.metadata.name);
      } catch (thrown) {
        if (!(thrown instanceof ApiError)) throw thrown;
      }
    }
    this.#sweeps.addAfter("sweep", SWEEP_MS);
  }
}

function lastSeen(event: KubeObject): number {
  const text = event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ??
    event.metadata.creationTimestamp;
  return Date.parse(text ?? "") || 0;
}

function first<K>(map: Map<K, unknown>): K {
  return map.keys().next().value!;
}
