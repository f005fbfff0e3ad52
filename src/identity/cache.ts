// One certificate per identity, kept fresh (ca.md §6): what ztunnel's secret manager does.

import { Backoff } from "../core/backoff.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { describeError, MeshError } from "../core/errors.ts";
import type { SpiffeId } from "../model/identity.ts";
import type { Logger } from "../telemetry/logger.ts";
import { certificatesOf, encodePem } from "./pem.ts";
import { certificateFacts } from "./certificate.ts";
import type { CertificateSource, WorkloadCertificate } from "./types.ts";

export type CacheErrorCode = "certificate_forgotten" | "cache_closed";

/** Who waits decides what is fetched first: a connection, a workload that just appeared, a refresh. */
const PRIORITIES = ["RealTime", "Warmup", "Background"] as const;
export type Priority = typeof PRIORITIES[number];

export const CACHE_DEFAULTS = {
  /** Requests to the CA at the same time. */
  concurrency: 8,
  /** Waits between failed attempts for one identity. */
  backoff: { initialMs: 1000, maxMs: 150_000, factor: 2, jitter: 0.2 },
};

export interface CertificateCacheOptions {
  readonly client: CertificateSource;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly concurrency?: number;
  readonly backoff?: { initialMs: number; maxMs: number; factor?: number; jitter?: number };
}

/** Called with a new certificate, or with undefined when the identity was forgotten. */
export type CertificateListener = (id: SpiffeId, certificate: WorkloadCertificate | undefined) => void;

/** An identity as ztunnel's config_dump shows it. */
export interface CertificateDump {
  readonly identity: string;
  /** `Available`, `Initializing`, or `Unavailable: …`. */
  readonly state: string;
  readonly certChain: readonly CertificateDumpEntry[];
  readonly rootCerts: readonly CertificateDumpEntry[];
}

export interface CertificateDumpEntry {
  /** Base64 of the PEM. */
  readonly pem: string;
  readonly serialNumber: string;
  readonly validFrom: string;
  readonly expirationTime: string;
}

interface Waiter {
  resolve(certificate: WorkloadCertificate): void;
  reject(error: unknown): void;
}

interface Entry {
  readonly id: SpiffeId;
  readonly backoff: Backoff;
  readonly abort: AbortController;
  certificate?: WorkloadCertificate;
  /** Why the last attempt failed; undefined after a success. */
  error?: unknown;
  /** Set while waiting for a turn. */
  queued?: Priority;
  fetching: boolean;
  waiters: Waiter[];
  cancelTimer?: () => void;
}

/**
 * Certificates of the identities in use. `get` answers at once while an unexpired certificate is held, also while its renewal
 * fails; renewal starts at half of the life. Call `forget` when the last workload of an identity has left, `close` at the end.
 */
export class CertificateCache {
  readonly #entries = new Map<SpiffeId, Entry>();
  readonly #queues: Record<Priority, Set<Entry>> = { RealTime: new Set(), Warmup: new Set(), Background: new Set() };
  readonly #listeners = new Set<CertificateListener>();
  readonly #options: CertificateCacheOptions;
  readonly #clock: Clock;
  #running = 0;
  #closed = false;

  constructor(options: CertificateCacheOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** The identities held. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * The certificate of `id`, fetched with priority when it is not there. While an identity is between failed attempts the last
   * failure is thrown at once.
   */
  get(id: SpiffeId): Promise<WorkloadCertificate> {
    const current = this.current(id);
    if (current) return Promise.resolve(current);
    if (this.#closed) return Promise.reject(closed(id));
    const entry = this.#entry(id);
    const busy = entry.fetching || entry.queued !== undefined;
    if (!busy && entry.error !== undefined && entry.cancelTimer) return Promise.reject(entry.error);
    return new Promise((resolve, reject) => {
      entry.waiters.push({ resolve, reject });
      this.#enqueue(entry, "RealTime");
    });
  }

  /** The certificate of `id` if one is held and has not expired; never fetches. */
  current(id: SpiffeId): WorkloadCertificate | undefined {
    const certificate = this.#entries.get(id)?.certificate;
    return certificate && certificate.notAfter.getTime() > this.#clock.now() ? certificate : undefined;
  }

  /** Fetches ahead of need, without waiting; does nothing for an identity that is known already. */
  prefetch(id: SpiffeId): void {
    if (!this.#closed && !this.#entries.has(id)) this.#enqueue(this.#entry(id), "Warmup");
  }

  /** Drops an identity: its certificate, timers and any request under way. */
  forget(id: SpiffeId): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.#entries.delete(id);
    this.#release(
      entry,
      new MeshError<CacheErrorCode>("certificate_forgotten", `the certificate of "${id}" is no longer needed`),
    );
    this.#notify(id, undefined);
  }

  /** Calls `listener` for every new certificate; returns how to stop. */
  onChange(listener: CertificateListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Every identity with its state and certificates, without keys. */
  dump(): CertificateDump[] {
    return [...this.#entries.values()].map((entry) => ({
      identity: entry.id,
      state: this.#state(entry),
      certChain: dumpChain(entry.certificate?.chainPem),
      rootCerts: dumpChain(entry.certificate?.rootsPem),
    }));
  }

  /** Ends all work; later calls fail. */
  close(): void {
    this.#closed = true;
    for (const entry of this.#entries.values()) this.#release(entry, closed(entry.id));
    this.#entries.clear();
    this.#listeners.clear();
  }

  #state(entry: Entry): string {
    if (this.current(entry.id)) return "Available";
    return entry.error === undefined ? "Initializing" : `Unavailable: ${describeError(entry.error)}`;
  }

  #entry(id: SpiffeId): Entry {
    let entry = this.#entries.get(id);
    if (!entry) {
      const backoff = new Backoff(this.#options.backoff ?? CACHE_DEFAULTS.backoff);
      entry = { id, backoff, abort: new AbortController(), fetching: false, waiters: [] };
      this.#entries.set(id, entry);
    }
    return entry;
  }

  #release(entry: Entry, error: MeshError): void {
    entry.cancelTimer?.();
    entry.abort.abort();
    if (entry.queued) this.#queues[entry.queued].delete(entry);
    entry.queued = undefined;
    for (const waiter of entry.waiters.splice(0)) waiter.reject(error);
  }

  /** Puts an entry in line, or moves it forward; an entry being fetched stays where it is. */
  #enqueue(entry: Entry, priority: Priority): void {
    if (entry.fetching) return;
    if (entry.queued !== undefined) {
      if (PRIORITIES.indexOf(priority) >= PRIORITIES.indexOf(entry.queued)) return;
      this.#queues[entry.queued].delete(entry);
    }
    entry.cancelTimer?.();
    entry.cancelTimer = undefined;
    entry.queued = priority;
    this.#queues[priority].add(entry);
    this.#work();
  }

  #work(): void {
    while (this.#running < (this.#options.concurrency ?? CACHE_DEFAULTS.concurrency)) {
      const queue = PRIORITIES.map((priority) => this.#queues[priority]).find((candidate) => candidate.size > 0);
      if (!queue) return;
      const entry: Entry = queue.values().next().value!;
      queue.delete(entry);
      entry.queued = undefined;
      entry.fetching = true;
      this.#running++;
      this.#fetch(entry).finally(() => {
        this.#running--;
        this.#work();
      });
    }
  }

  async #fetch(entry: Entry): Promise<void> {
    try {
      const certificate = await this.#options.client.fetch(entry.id, entry.abort.signal);
      if (entry.abort.signal.aborted) return;
      entry.fetching = false;
      this.#succeed(entry, certificate);
    } catch (error) {
      if (entry.abort.signal.aborted) return;
      entry.fetching = false;
      this.#fail(entry, error);
    }
  }

  #succeed(entry: Entry, certificate: WorkloadCertificate): void {
    entry.certificate = certificate;
    entry.error = undefined;
    entry.backoff.reset();
    const from = certificate.notBefore.getTime(), to = certificate.notAfter.getTime();
    // At half of the life, counted from the backdated start. One that is past it already (a short life) is not asked for again
    // at once but at half of what is left.
    const now = this.#clock.now(), left = to - now;
    const wait = Math.max(from + (to - from) / 2 - now, Math.min(left / 2, 60_000), 1000);
    entry.cancelTimer = this.#clock.timer(wait, () => this.#enqueue(entry, "Background"));
    for (const waiter of entry.waiters.splice(0)) waiter.resolve(certificate);
    this.#notify(entry.id, certificate);
  }

  #fail(entry: Entry, error: unknown): void {
    entry.error = error;
    let wait = entry.backoff.next();
    const left = (entry.certificate?.notAfter.getTime() ?? 0) - this.#clock.now();
    if (left > 0) wait = Math.min(wait, left);
    this.#options.logger?.warn("certificate request failed", {
      identity: entry.id,
      error: describeError(error),
      retryMs: Math.round(wait),
    });
    entry.cancelTimer = this.#clock.timer(wait, () => {
      entry.cancelTimer = undefined;
      this.#enqueue(entry, "Background");
    });
    for (const waiter of entry.waiters.splice(0)) waiter.reject(error);
  }

  #notify(id: SpiffeId, certificate: WorkloadCertificate | undefined): void {
    for (const listener of this.#listeners) listener(id, certificate);
  }
}

function closed(id: SpiffeId): MeshError<CacheErrorCode> {
  return new MeshError("cache_closed", `cannot get a certificate for "${id}": shutting down`);
}

function dumpChain(pem: string | undefined): CertificateDumpEntry[] {
  if (pem === undefined) return [];
  return certificatesOf(pem).map((der) => {
    const { serial, notBefore, notAfter } = certificateFacts(der);
    return {
      pem: btoa(encodePem("CERTIFICATE", der)),
      serialNumber: serial,
      validFrom: notBefore.toISOString(),
      expirationTime: notAfter.toISOString(),
    };
  });
}
