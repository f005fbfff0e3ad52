// How much of what flowed when: counters of many proxies become increments in slots of time. Memory is bounded by the number of flows.

import { type ExpositionLimits, parseSeries, readExposition } from "./exposition.ts";
import { type Counter, COUNTERS, type Counts, type Flow, flowKey, flowOf, isTrafficMetric } from "./flow.ts";

export type ProxyKind = "ztunnel" | "waypoint" | "gateway" | "sidecar";

/** A proxy whose counters are read. */
export interface Source {
  /** Names one life of the proxy's pod. */
  readonly id: string;
  readonly kind: ProxyKind;
  /** The workload that the proxy is or stands beside: `namespace/name`. */
  readonly proxy: string;
  /** When the proxy began to count. */
  readonly startedAtMs: number;
}

/** A flow that was seen within a window, with what was counted there. */
export interface ActiveFlow {
  readonly flow: Flow;
  /** The waypoint that reported it: `namespace/name`; "" for all other proxies. */
  readonly waypoint: string;
  readonly counts: Counts;
}

export interface HistoryLimits extends ExpositionLimits {
  /** Flows remembered, of all proxies together. */
  readonly maxFlows: number;
}

export const HISTORY_LIMITS: HistoryLimits = { maxSeries: 50_000, maxLine: 8_192, maxFlows: 10_000 };

/** What one reading gave. */
export interface Recorded {
  readonly series: number;
  readonly malformed: number;
  /** Series or flows were left out: there are too many. */
  readonly truncated: boolean;
}

/** Two resolutions: short windows from fine slots, long ones from coarse slots. */
const FINE = { ms: 5_000, slots: 26 };
const COARSE = { ms: 60_000, slots: 62 };
/** The longest window that fine slots cover. */
const FINE_WINDOW_MS = 120_000;
export const LONGEST_WINDOW_MS = 3_600_000;

const WIDTH = COUNTERS.length;
const COUNTER_AT = new Map(COUNTERS.map((name, index) => [name, index] as const));

/** Increments per slot; slots are numbered from the epoch. */
class Ring {
  readonly #values: Float32Array;
  #last = -1;
  constructor(readonly ms: number, readonly slots: number) {
    this.#values = new Float32Array(slots * WIDTH);
  }

  add(counter: number, by: number, atMs: number): void {
    const slot = Math.floor(atMs / this.ms);
    if (slot > this.#last) {
      const stale = Math.min(slot - this.#last, this.slots);
      for (let i = 0; i < stale; i++) {
        const from = ((slot - i) % this.slots) * WIDTH;
        this.#values.fill(0, from, from + WIDTH);
      }
      this.#last = slot;
    }
    this.#values[(this.#last % this.slots) * WIDTH + counter] += by;
  }

  /** Adds what was counted within `windowMs` before `nowMs` to `sums`; of the slot that the window begins in, a part. */
  sum(windowMs: number, nowMs: number, sums: Float64Array): void {
    const begin = (nowMs - windowMs) / this.ms, border = Math.floor(begin);
    const last = Math.min(this.#last, Math.floor(nowMs / this.ms));
    for (let slot = Math.max(border, this.#last - this.slots + 1, 0); slot <= last; slot++) {
      const from = (slot % this.slots) * WIDTH, part = slot === border ? 1 - (begin - border) : 1;
      for (let i = 0; i < WIDTH; i++) sums[i] += this.#values[from + i] * part;
    }
  }
}

class Track {
  readonly fine = new Ring(FINE.ms, FINE.slots);
  readonly coarse = new Ring(COARSE.ms, COARSE.slots);
  lastMs = 0;
  constructor(readonly flow: Flow, readonly waypoint: string) {}

  add(counter: Counter, by: number, atMs: number): void {
    const index = COUNTER_AT.get(counter)!;
    this.fine.add(index, by, atMs);
    this.coarse.add(index, by, atMs);
    this.lastMs = atMs;
  }
}

/** A series of one proxy: where it counts, and what it said last. */
interface Known {
  readonly key: string;
  readonly counter: Counter | undefined;
  value: number;
  round: number;
}

interface Reading {
  readonly series: Map<string, Known>;
  round: number;
}

/** Whether a proxy may say this: all but ztunnels belong to the users of a namespace, who could let them say anything. */
function mayReport({ kind, proxy }: Source, { reporter, source, destination, policy }: Flow): boolean {
  if (policy !== "") return kind === "ztunnel";
  if (kind === "ztunnel") return reporter !== "waypoint";
  if (kind === "waypoint") return reporter === "waypoint";
  const self = reporter === "source" ? source : destination;
  return reporter !== "waypoint" && `${self.namespace}/${self.workload}` === proxy;
}

const IGNORED: Pick<Known, "key" | "counter"> = { key: "", counter: undefined };

/**
 * Remembers increments for an hour. A counter that falls was restarted and counts from zero; a series that appears on a proxy already
 * known counts from zero; what a proxy had counted before it was first read is no increment, unless it began only after `startedAtMs`.
 */
export class TrafficHistory {
  readonly #tracks = new Map<string, Track>();
  readonly #readings = new Map<string, Reading>();
  readonly #limits: HistoryLimits;
  readonly startedAtMs: number;

  constructor(startedAtMs: number, limits: HistoryLimits = HISTORY_LIMITS) {
    this.startedAtMs = startedAtMs;
    this.#limits = limits;
  }

  get flows(): number {
    return this.#tracks.size;
  }

  /** Takes in what a proxy said at `atMs`. */
  record(source: Source, exposition: string, atMs: number): Recorded {
    const { samples, malformed, truncated } = readExposition(exposition, isTrafficMetric, this.#limits);
    let reading = this.#readings.get(source.id);
    const fromZero = reading !== undefined || source.startedAtMs > this.startedAtMs;
    if (!reading) this.#readings.set(source.id, reading = { series: new Map(), round: 0 });
    reading.round++;
    let bad = malformed, full = truncated;
    for (const { series, value } of samples) {
      let known = reading.series.get(series), increment: number;
      if (known === undefined) {
        const described = parseSeries(series);
        if (!described) {
          bad++;
          continue;
        }
        const found = flowOf(described);
        const counts = found !== undefined && mayReport(source, found.flow);
        const place = counts ? this.#track(found.flow, source.kind === "waypoint" ? source.proxy : "") : undefined;
        if (counts && place === undefined) full = true;
        known = place === undefined
          ? { ...IGNORED, value: 0, round: 0 }
          : { key: place, counter: found!.counter, value: 0, round: 0 };
        reading.series.set(series, known);
        increment = fromZero ? value : 0;
      } else increment = value >= known.value ? value - known.value : value;
      known.value = value;
      known.round = reading.round;
      if (known.counter === undefined || increment === 0) continue;
      this.#tracks.get(known.key)?.add(known.counter, increment, atMs);
    }
    for (const [series, { round }] of reading.series) if (round !== reading.round) reading.series.delete(series);
    return { series: samples.length, malformed: bad, truncated: full };
  }

  #track(flow: Flow, waypoint: string): string | undefined {
    const key = `${waypoint}\u0000${flowKey(flow)}`;
    if (!this.#tracks.has(key)) {
      if (this.#tracks.size >= this.#limits.maxFlows) return undefined;
      this.#tracks.set(key, new Track(flow, waypoint));
    }
    return key;
  }

  /** Forgets proxies that are gone, and flows that no proxy mentions any more and that are older than every window. */
  prune(sources: ReadonlySet<string>, nowMs: number): void {
    for (const id of this.#readings.keys()) if (!sources.has(id)) this.#readings.delete(id);
    const mentioned = new Set<string>();
    for (const { series } of this.#readings.values()) for (const { key } of series.values()) mentioned.add(key);
    for (const [key, { lastMs }] of this.#tracks) {
      if (!mentioned.has(key) && lastMs < nowMs - LONGEST_WINDOW_MS) this.#tracks.delete(key);
    }
  }

  /** What was counted in the last `windowMs`, without flows that were silent. */
  active(windowMs: number, nowMs: number): ActiveFlow[] {
    const found: ActiveFlow[] = [];
    const sums = new Float64Array(WIDTH);
    for (const { flow, waypoint, fine, coarse, lastMs } of this.#tracks.values()) {
      if (lastMs <= nowMs - windowMs) continue;
      sums.fill(0);
      (windowMs <= FINE_WINDOW_MS ? fine : coarse).sum(windowMs, nowMs, sums);
      if (sums.every((value) => value === 0)) continue;
      const counts = Object.fromEntries(COUNTERS.map((name, index) => [name, sums[index]])) as Counts;
      found.push({ flow, waypoint, counts });
    }
    return found;
  }

  /** Seconds of a window that this history can answer for. */
  coveredSeconds(windowMs: number, nowMs: number): number {
    return Math.max(1, Math.min(windowMs, nowMs - this.startedAtMs) / 1000);
  }
}
