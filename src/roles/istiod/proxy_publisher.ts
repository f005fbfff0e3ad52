// Routing -> the L7 proxies that are connected, and -> statuses while this replica leads.

import { describeError } from "../../core/errors.ts";
import {
  type GatewayFactsOf,
  type ProxyTarget,
  type RoutingIndex,
  type RoutingInputs,
  type RoutingStatus,
  targetKey,
} from "../../index/mod.ts";
import type { ProxyResource } from "../../model/l7.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { ProxyResourceSource } from "../../xds/proxy_source.ts";
import type { XdsClientInfo } from "../../xds/resource.ts";
import { identifyProxy } from "./proxy_identity.ts";

export interface ProxyPublisherOptions {
  readonly inputs: RoutingInputs;
  readonly routing: Pick<RoutingIndex, "changed" | "proxyConfig" | "statuses">;
  /** What the deployer knows of Gateways. */
  readonly facts: GatewayFactsOf;
  /** Whether Secrets may be sent to pods of a service account. */
  readonly mayReadSecrets: (target: ProxyTarget) => boolean;
  readonly logger: Logger;
}

/** A refresh begins after as much rest as the last one took work, and a second at most: storms of changes do not starve the rest. */
const MAX_REST_MS = 1_000;

/**
 * Recomputes the connected proxies' configuration after changes, once for all that arrive in one turn of the event loop. Nothing is
 * computed for proxies that are not there, and no statuses when nobody writes them.
 */
export class ProxyPublisher {
  readonly source: ProxyResourceSource;
  readonly #options: ProxyPublisherOptions;
  readonly #targets = new Map<string, ProxyTarget>();
  /** What was said of clients that get nothing, each reason once; "" for those that got something. */
  readonly #refused = new WeakMap<XdsClientInfo, string>();
  #onStatuses: ((statuses: readonly RoutingStatus[]) => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Changed since the routing index was told. */
  #dirty = false;
  #lastWorkMs = 0;
  #lastEnd = 0;
  #closed = false;

  constructor(options: ProxyPublisherOptions) {
    this.#options = options;
    this.source = new ProxyResourceSource({
      groupOf: (client) => this.#groupOf(client),
      configOf: (group) => this.#config(group),
    });
  }

  /** Inputs, the ambient index or facts have changed. */
  changed(): void {
    this.#dirty = true;
    if (this.#timer !== undefined || this.#closed) return;
    const rested = performance.now() - this.#lastEnd;
    const wait = Math.max(0, Math.min(MAX_REST_MS, this.#lastWorkMs) - rested);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.flush();
    }, wait);
  }

  /** Hears of all statuses after each change; at once of those that hold now. */
  onStatuses(handler: ((statuses: readonly RoutingStatus[]) => void) | undefined): void {
    this.#onStatuses = handler;
    if (handler) this.changed();
  }

  /** The configuration of each connected proxy, for debug pages; mind the secrets. */
  *configs(): Iterable<{ client: XdsClientInfo; target: ProxyTarget | undefined; config: readonly ProxyResource[] }> {
    for (const [client, group] of this.source.clients()) {
      yield { client, target: this.#targets.get(group ?? ""), config: this.source.held(group) };
    }
  }

  flush(): void {
    const startedAt = performance.now();
    this.#tell();
    this.source.refresh();
    try {
      this.#onStatuses?.(this.#options.routing.statuses(this.#options.facts));
    } catch (error) {
      this.#options.logger.error("cannot compute statuses", { error: describeError(error) });
    }
    const used = new Set([...this.source.clients()].map(([, group]) => group));
    for (const key of this.#targets.keys()) if (!used.has(key)) this.#targets.delete(key);
    this.#lastEnd = performance.now();
    this.#lastWorkMs = this.#lastEnd - startedAt;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #tell(): void {
    if (!this.#dirty) return;
    this.#dirty = false;
    this.#options.routing.changed();
  }

  #groupOf(client: XdsClientInfo): string | undefined {
    const identified = identifyProxy(client, this.#options.inputs);
    if ("target" in identified) {
      this.#refused.set(client, "");
      const key = targetKey(identified.target);
      this.#targets.set(key, identified.target);
      return key;
    }
    const said = this.#refused.get(client);
    if (said === "") {
      this.#refused.set(client, identified.refused);
      this.#options.logger.debug("a proxy keeps the configuration that it has", {
        node: client.nodeId,
        reason: identified.refused,
      });
    } else if (said !== identified.refused) {
      this.#refused.set(client, identified.refused);
      this.#options.logger.warn("a client gets no configuration of a proxy", {
        node: client.nodeId,
        peer: client.peerAddress,
        identities: client.caller?.identities.join(", ") ?? "",
        reason: identified.refused,
      });
    }
    return undefined;
  }

  #config(group: string): readonly ProxyResource[] {
    this.#tell();
    try {
      const target = this.#targets.get(group)!, config = this.#options.routing.proxyConfig(target);
      if (!config.some(({ kind }) => kind === "secret") || this.#options.mayReadSecrets(target)) return config;
      return config.filter(({ kind }) => kind !== "secret");
    } catch (error) {
      // What this proxy has stays in use, and the others are served.
      this.#options.logger.error("cannot compute a proxy's configuration", {
        proxy: group,
        error: describeError(error),
      });
      return this.source.held(group);
    }
  }
}
