import type { Clock } from "../../core/clock.ts";
import { describeError, MeshError } from "../../core/errors.ts";
import { parseIp } from "../../core/ip.ts";
import type { Reactor } from "../../net/mod.ts";
import { LimitedLog } from "../../telemetry/limited_log.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { HostResolver } from "./types.ts";

/** How long an answer is believed: its time to live within these bounds, the upper one where it names none. */
const SHORTEST_MS = 5_000, LONGEST_MS = 30_000;
/** After a failure, and how long an answer is waited for. */
const RETRY_MS = 5_000, PATIENCE_MS = 10_000;

/** Told when the addresses of a name have changed, or are known for the first time. */
export interface NameWatcher {
  onNameChanged(): void;
}

interface Entry {
  /** undefined until the first answer or failure. */
  addresses: readonly string[] | undefined;
  readonly watchers: Set<NameWatcher>;
  cancel: (() => void) | undefined;
}

/** Host names that destinations need, asked for once however many need them, and again while anybody does. */
export class Names {
  readonly #entries = new Map<string, Entry>();
  readonly #resolver: HostResolver;
  readonly #clock: Clock;
  readonly #reactor: Reactor;
  readonly #failures: LimitedLog | undefined;

  constructor(resolver: HostResolver, clock: Clock, reactor: Reactor, logger: Logger | undefined) {
    this.#resolver = resolver;
    this.#clock = clock;
    this.#reactor = reactor;
    this.#failures = logger && new LimitedLog(logger, clock);
  }

  /** The addresses as last known; undefined when there has been no answer yet. */
  addresses(name: string): readonly string[] | undefined {
    return this.#entries.get(name)?.addresses;
  }

  watch(name: string, watcher: NameWatcher): void {
    let entry = this.#entries.get(name);
    if (!entry) {
      this.#entries.set(name, entry = { addresses: undefined, watchers: new Set(), cancel: undefined });
      entry.watchers.add(watcher);
      this.#ask(name, entry);
    } else entry.watchers.add(watcher);
  }

  unwatch(name: string, watcher: NameWatcher): void {
    const entry = this.#entries.get(name);
    if (!entry?.watchers.delete(watcher) || entry.watchers.size > 0) return;
    entry.cancel?.();
    this.#entries.delete(name);
  }

  close(): void {
    for (const entry of this.#entries.values()) entry.cancel?.();
    this.#entries.clear();
  }

  #ask(name: string, entry: Entry): void {
    let settled = false;
    const settle = (addresses: readonly string[] | undefined, againMs: number) => {
      if (settled || this.#entries.get(name) !== entry) return;
      settled = true;
      entry.cancel?.();
      entry.cancel = this.#clock.timer(againMs, () => this.#ask(name, entry));
      // What was known stays when there is no answer.
      const next = addresses ?? entry.addresses ?? [];
      const changed = entry.addresses === undefined || next.length !== entry.addresses.length ||
        next.some((ip, i) => ip !== entry.addresses![i]);
      entry.addresses = next;
      if (changed) { for (const watcher of [...entry.watchers]) watcher.onNameChanged(); }
      this.#reactor.wantMicrotasks();
    };
    const failed = (thrown: unknown) => {
      if (!settled) this.#failures?.log("warn", "cannot resolve a host name", { name, error: describeError(thrown) });
      settle(undefined, RETRY_MS);
    };
    entry.cancel = this.#clock.timer(PATIENCE_MS, () => failed(new MeshError("timeout", "no answer in time")));
    this.#resolver.resolve(name).then(({ addresses, ttlMs }) => {
      // Sorted, so that an answer in another order is no change.
      const valid = [...new Set(addresses.filter((ip) => parseIp(ip) !== undefined))].sort();
      settle(valid, Math.min(LONGEST_MS, Math.max(SHORTEST_MS, ttlMs ?? LONGEST_MS)));
    }, failed);
  }
}
