// The root certificate in a ConfigMap of every namespace, where proxies mount it to trust istiod (ca.md §8).

import { describeError } from "../../core/errors.ts";
import { Informer, isApiStatus, type KubeClient, type KubeObject, RESOURCES } from "../../kube/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { WorkQueue } from "./work_queue.ts";

export interface RootConfigMapOptions {
  readonly client: KubeClient;
  readonly logger: Logger;
  /** Of the ConfigMap. */
  readonly name: string;
  /** Served first: istiod's neighbours cannot start without. */
  readonly ownNamespace: string;
  readonly rootPem: () => Promise<string>;
  readonly namespaces: Informer;
}

const KEY = "root-cert.pem", LABEL = "istio.io/config";

/** Keeps the ConfigMaps as they should be; writes only while it leads. */
export class RootConfigMaps {
  readonly #options: RootConfigMapOptions;
  readonly #configMaps: Informer;
  readonly #queue = new WorkQueue();

  constructor(options: RootConfigMapOptions) {
    this.#options = options;
    const { client, logger, name, namespaces } = options;
    this.#configMaps = new Informer({
      client,
      logger,
      type: RESOURCES.configMaps,
      fieldSelector: `metadata.name=${name}`,
    });
    this.#configMaps.onChange((changes) =>
      changes.forEach(({ object }) => this.#queue.add(object.metadata.namespace ?? ""))
    );
    namespaces.onChange((changes) => changes.forEach(({ object }) => this.#queue.add(object.metadata.name)));
  }

  start(): void {
    this.#configMaps.start();
  }

  async stop(): Promise<void> {
    await this.#configMaps.stop();
  }

  /** The root has changed: all of them. */
  refresh(): void {
    for (const { metadata } of this.#options.namespaces.store.values()) this.#queue.add(metadata.name);
  }

  /** Reconciles until leadership ends. */
  async lead(signal: AbortSignal): Promise<void> {
    await Promise.all(
      [this.#options.namespaces.synced, this.#configMaps.synced].map((synced) => unless(signal, synced)),
    );
    this.refresh();
    // A failure here is met again in the queue.
    await this.#reconcile(this.#options.ownNamespace, signal).catch(() => {});
    await this.#queue.run(signal, (namespace) => this.#reconcile(namespace, signal), (namespace, error) => {
      this.#options.logger.warn("cannot write the root certificate", { namespace, error: describeError(error) });
    });
  }

  async #reconcile(namespace: string, signal: AbortSignal): Promise<void> {
    const { client, name, rootPem, namespaces, logger } = this.#options;
    const object = namespaces.store.get(namespace);
    if (!object || object.metadata.deletionTimestamp || object.status?.phase === "Terminating") return;
    const wanted = { [KEY]: await rootPem() };
    signal.throwIfAborted();
    const existing = this.#configMaps.store.get(`${namespace}/${name}`);
    if (existing && existing.data?.[KEY] === wanted[KEY] && existing.metadata.labels?.[LABEL] === "true") return;
    try {
      if (existing) {
        const { metadata } = existing;
        await client.update(RESOURCES.configMaps, {
          ...existing,
          metadata: { ...metadata, labels: { ...metadata.labels, [LABEL]: "true" } },
          data: { ...existing.data, ...wanted },
        }, { signal });
      } else {
        const created: KubeObject = { metadata: { namespace, name, labels: { [LABEL]: "true" } }, data: wanted };
        await client.create(RESOURCES.configMaps, created, { signal });
      }
      logger.debug("root certificate written", { namespace });
    } catch (error) {
      // It exists, changed, or its namespace is going: the watch tells, and this comes again.
      if (isApiStatus(error, 409) || isApiStatus(error, 404) || isTerminating(error)) return;
      throw error;
    }
  }
}

function isTerminating(error: unknown): boolean {
  return isApiStatus(error, 403) && /terminat/i.test(error.message);
}

/** Resolves with `work`, or at once when the signal aborts. */
function unless(signal: AbortSignal, work: Promise<void>): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return Promise.race([
    work,
    new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true })),
  ]);
}
