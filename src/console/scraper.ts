// Reads the metrics of the mesh's proxies, again and again.

import { describeError } from "../core/errors.ts";
import { hostPort } from "../core/ip.ts";
import type { ProxyKind, TrafficHistory } from "./history.ts";
import type { Objects } from "./objects.ts";
import { scrapeTargets, type Target } from "./targets.ts";

/** Where ztunnel, waypoints, gateways and sidecars serve their metrics. */
const STATS_PORT = 15020;
const TIMEOUT_MS = 3_000;
/** A longer answer is cut off; ztunnel with a thousand workload pairs writes 3 MB. */
const MAX_BYTES = 16 * 1024 * 1024;
const CONCURRENCY = 8;

/** How reading one proxy went the last time. */
export interface TargetState {
  readonly kind: ProxyKind;
  readonly namespace: string;
  readonly pod: string;
  readonly ok: boolean;
  readonly error?: string;
  readonly series: number;
  readonly malformed: number;
  readonly truncated: boolean;
  readonly tookMs: number;
}

export interface ScraperOptions {
  readonly objects: () => Objects;
  readonly history: TrafficHistory;
  readonly intervalMs: number;
  readonly now?: () => number;
  /** For tests. */
  readonly port?: number;
}

export class Scraper {
  readonly #options: ScraperOptions;
  readonly #now: () => number;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #round: Promise<void> | undefined;
  #states: readonly TargetState[] = [];
  #omitted = 0;
  /** When the last round ended; 0 before the first. */
  lastRoundMs = 0;
  rounds = 0;
  failures = 0;

  constructor(options: ScraperOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  get states(): readonly TargetState[] {
    return this.#states;
  }

  /** Proxies that were not read because there are too many. */
  get omitted(): number {
    return this.#omitted;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#round;
  }

  /** Reads all proxies now, unless that was done less than `maxAgeMs` ago. Calls at the same time share one round. */
  async refresh(maxAgeMs: number): Promise<void> {
    if (this.#round) return await this.#round;
    if (this.#stop.signal.aborted || this.#now() - this.lastRoundMs < maxAgeMs) return;
    this.#round = this.#readAll().finally(() => this.#round = undefined);
    await this.#round;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.refresh(0);
      await new Promise<void>((resolve) => {
        const end = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", end);
          resolve();
        };
        const timer = setTimeout(end, this.#options.intervalMs);
        signal.addEventListener("abort", end, { once: true });
        if (signal.aborted) end();
      });
    }
  }

  async #readAll(): Promise<void> {
    const { objects, history } = this.#options;
    const { targets, omitted } = scrapeTargets(objects());
    const states: TargetState[] = new Array(targets.length);
    let next = 0;
    const worker = async () => {
      while (next < targets.length && !this.#stop.signal.aborted) {
        const index = next++;
        states[index] = await this.#read(targets[index]);
      }
    };
    await Promise.all(Array.from({ length: Math.min(CONCURRENCY, targets.length) }, worker));
    if (this.#stop.signal.aborted) return;
    this.#states = states;
    this.#omitted = omitted;
    this.rounds++;
    this.lastRoundMs = this.#now();
    history.prune(new Set(targets.map(({ id }) => id)), this.lastRoundMs);
  }

  async #read(target: Target): Promise<TargetState> {
    const { kind, namespace, pod } = target, started = performance.now();
    const state = { kind, namespace, pod };
    try {
      const url = `http://${hostPort(target.address, this.#options.port ?? STATS_PORT)}/stats/prometheus`;
      const response = await fetch(url, {
        redirect: "error",
        headers: { accept: "text/plain;version=0.0.4" },
        signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(TIMEOUT_MS)]),
      });
      if (!response.ok) {
        await response.body?.cancel();
        throw new Error(`it answered ${response.status}`);
      }
      const text = await readAtMost(response, MAX_BYTES);
      const recorded = this.#options.history.record(target, text, this.#now());
      return { ...state, ok: true, ...recorded, tookMs: Math.round(performance.now() - started) };
    } catch (error) {
      this.failures++;
      const tookMs = Math.round(performance.now() - started);
      return { ...state, ok: false, error: describeError(error), series: 0, malformed: 0, truncated: false, tookMs };
    }
  }
}

async function readAtMost(response: Response, limit: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "", bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > limit) throw new Error(`its answer is longer than ${limit} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
