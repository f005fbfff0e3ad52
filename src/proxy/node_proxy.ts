import { describeError } from "../core/errors.ts";
import { Netns } from "../net/mod.ts";
import { duplicate } from "../inpod/descriptor.ts";
import type { PodHandler, PodInfo } from "../inpod/mod.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Registry } from "../telemetry/metrics.ts";
import type { Shared } from "./pod.ts";
import type { ConnectionViews } from "./connection_view.ts";
import { type HboneConnectionView, PodProxy } from "./pod_proxy.ts";

/** How often a pod whose proxy could not start is tried again. */
const RETRY_MS = 5_000;

interface Entry {
  readonly info: PodInfo;
  /** Names the namespace: another inode is another pod sandbox. */
  readonly inode: string;
  proxy: PodProxy | undefined;
  /** While pending: the namespace to try again with. */
  waiting: Netns | undefined;
  retry: ReturnType<typeof setTimeout> | undefined;
}

/** One pod as config_dump's workloadState shows it. */
export interface PodState {
  readonly state: "Up" | "Pending";
  readonly info: PodInfo;
  readonly connections: ConnectionViews;
  /** Pooled connections to other proxies; ztunnel's dump has none of it. */
  readonly hboneConnections: readonly HboneConnectionView[];
}

/** Every pod of the node that is proxied; what the CNI agent asks for over ZDS is done here. */
export class NodeProxy implements PodHandler {
  readonly #shared: Shared;
  readonly #logger: Logger;
  readonly #onReadiness: (ready: boolean) => void;
  readonly #entries = new Map<string, Entry>();
  /** Proxies whose pods have left and whose connections have not ended. */
  readonly #leaving = new Set<PodProxy>();
  readonly #started;
  readonly #stopped;
  #snapshot = false;
  #connected = false;
  #closed = false;

  constructor(shared: Shared, registry: Registry, onReadiness: (ready: boolean) => void) {
    this.#shared = shared;
    this.#logger = shared.logger.child("inpod");
    this.#onReadiness = onReadiness;
    this.#started = registry.counter("workload_manager_proxies_started_total", "The total number of proxies started")
      .with();
    this.#stopped = registry.counter("workload_manager_proxies_stopped_total", "The total number of proxies stopped")
      .with();
    const active = registry.gauge("workload_manager_active_proxy_count", "The number of active proxies").with();
    const pending = registry.gauge("workload_manager_pending_proxy_count", "The number of proxies that are not up")
      .with();
    registry.onCollect(() => {
      const waiting = [...this.#entries.values()].filter((entry) => !entry.proxy).length;
      pending.set(waiting);
      active.set(this.#entries.size - waiting);
    });
  }

  /** @throws MeshError `pod_start_failed`; it is tried again every 5 s all the same */
  async add(uid: string, info: PodInfo, fd: number): Promise<void> {
    const netns = new Netns(fd);
    const inode = inodeOf(fd);
    const known = this.#entries.get(uid);
    if (known && known.inode === inode && known.proxy) {
      netns.close();
      return;
    }
    if (known) this.#drop(uid, known);
    const entry: Entry = { info, inode, proxy: undefined, waiting: undefined, retry: undefined };
    this.#entries.set(uid, entry);
    try {
      this.#start(uid, entry, netns);
    } finally {
      this.#report();
    }
  }

  remove(uid: string): void {
    const entry = this.#entries.get(uid);
    if (!entry) return;
    this.#entries.delete(uid);
    this.#drop(uid, entry);
    this.#report();
  }

  retain(named: ReadonlySet<string>): void {
    this.#snapshot = true;
    for (const uid of [...this.#entries.keys()]) if (!named.has(uid)) this.remove(uid);
    this.#report();
  }

  connected(isConnected: boolean): void {
    this.#connected = isConnected;
    if (!isConnected) this.#snapshot = false;
    this.#report();
  }

  get(uid: string): PodProxy | undefined {
    return this.#entries.get(uid)?.proxy;
  }

  /** By pod UID. */
  states(): Record<string, PodState> {
    return Object.fromEntries([...this.#entries].map(([uid, { info, proxy }]) => [uid, {
      state: proxy ? "Up" : "Pending",
      info,
      connections: proxy?.pod.views() ?? { inbound: [], outbound: [] },
      hboneConnections: proxy?.hboneConnections() ?? [],
    }]));
  }

  /** Stops listening everywhere; resolves when the last connection has ended. */
  async leave(): Promise<void> {
    this.#closed = true;
    for (const [uid, entry] of [...this.#entries]) {
      this.#entries.delete(uid);
      this.#drop(uid, entry);
    }
    await Promise.all([...this.#leaving].map((proxy) => proxy.leave()));
  }

  /** Ends every connection at once, those of pods that have left included. */
  abort(reason: string): void {
    for (const proxy of this.#leaving) proxy.abort(reason);
    for (const { proxy } of this.#entries.values()) proxy?.abort(reason);
  }

  #start(uid: string, entry: Entry, netns: Netns): void {
    // PodProxy closes what it was given when it fails, and the retry needs it once more.
    const spare = new Netns(duplicate(netns.fd));
    try {
      entry.proxy = new PodProxy(this.#shared, entry.info, netns);
      spare.close();
      this.#started.inc();
      this.#logger.info("proxy started", { uid, name: `${entry.info.namespace}/${entry.info.name}` });
    } catch (thrown) {
      entry.waiting = spare;
      entry.retry = setTimeout(() => this.#retry(uid, entry), RETRY_MS);
      this.#logger.error("cannot start a proxy", { uid, error: describeError(thrown), retryMs: RETRY_MS });
      throw thrown;
    }
  }

  #retry(uid: string, entry: Entry): void {
    const netns = entry.waiting;
    if (this.#closed || !netns || this.#entries.get(uid) !== entry) return;
    entry.waiting = undefined;
    try {
      this.#start(uid, entry, netns);
    } catch {
      // Logged, and tried again.
    }
    this.#report();
  }

  #drop(uid: string, entry: Entry): void {
    clearTimeout(entry.retry);
    entry.waiting?.close();
    entry.waiting = undefined;
    const { proxy } = entry;
    if (!proxy) return;
    this.#stopped.inc();
    this.#leaving.add(proxy);
    const open = proxy.pod.size;
    this.#logger.info("proxy stopped", { uid, name: `${entry.info.namespace}/${entry.info.name}`, open });
    void proxy.leave().finally(() => this.#leaving.delete(proxy));
  }

  #report(): void {
    const pending = [...this.#entries.values()].some((entry) => !entry.proxy);
    this.#onReadiness(this.#connected && this.#snapshot && !pending);
  }
}

/** `net:[4026532008]` */
function inodeOf(fd: number): string {
  return Deno.readLinkSync(`/proc/self/fd/${fd}`);
}
