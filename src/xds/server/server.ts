// The delta discovery server, without its transport: sources on one side, connections on the other.

import { type Clock, systemClock } from "../../core/clock.ts";
import type { Caller } from "../../identity/types.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { ResourceSource, XdsClientInfo, XdsResource } from "../resource.ts";
import { Batch, XdsConnection, type XdsTransport } from "./connection.ts";
import { Debounce, DEBOUNCE_DEFAULTS, type DebounceOptions } from "./debounce.ts";
import type { XdsServerMetrics } from "./metrics.ts";

/** One item of a debug answer; `typeUrl` is that of `bytes`, the asked type by default. */
export interface DebugResource extends XdsResource {
  readonly typeUrl?: string;
}

/** Answers types `istio.io/debug` and `istio.io/debug/…`; decides itself whether this client may know. */
export type DebugHandler = (
  typeUrl: string,
  names: readonly string[],
  client: XdsClientInfo,
) => Promise<DebugResource[]>;

export interface DiscoveryServerOptions {
  readonly logger: Logger;
  readonly metrics?: XdsServerMetrics;
  readonly clock?: Clock;
  readonly debounce?: DebounceOptions;
  /** `PILOT_ENABLE_XDS_IDENTITY_CHECK`. */
  readonly identityCheck?: boolean;
  /** Sent as the control plane's identifier (istiod: a small JSON document); empty for none. */
  readonly controlPlane?: string;
  readonly debug?: DebugHandler;
}

/** What connections share with their server. */
export interface ServerShared {
  readonly logger: Logger;
  readonly metrics?: XdsServerMetrics;
  readonly clock: Clock;
  readonly identityCheck: boolean;
  readonly controlPlane: string;
  readonly debug?: DebugHandler;
  readonly sources: ReadonlyMap<string, ResourceSource>;
  nextNonce(): string;
  removed(connection: XdsConnection): void;
}

interface Dirty {
  changed: Set<string>;
  removed: Set<string>;
}

/**
 * Serves resources by delta xDS. Requests are answered at once; changes of the sources are gathered (100 ms of quiet, 10 s at
 * most) and pushed to those who subscribed.
 */
export class DiscoveryServer {
  readonly #sources = new Map<string, ResourceSource>();
  readonly #connections = new Set<XdsConnection>();
  readonly #dirty = new Map<string, Dirty>();
  readonly #unsubscribe: (() => void)[] = [];
  readonly #debounce: Debounce;
  readonly #shared: ServerShared;
  /** When the first of the gathered changes came. */
  #dirtySince = 0;
  #opened = 0;
  #nonces = 0;
  #closed = false;

  constructor(options: DiscoveryServerOptions) {
    const clock = options.clock ?? systemClock;
    // A nonce of an earlier server never equals one of this: a client that reconnects cannot acknowledge by accident.
    const epoch = crypto.randomUUID().slice(0, 8);
    this.#shared = {
      logger: options.logger,
      metrics: options.metrics,
      clock,
      identityCheck: options.identityCheck ?? true,
      controlPlane: options.controlPlane ?? "",
      debug: options.debug,
      sources: this.#sources,
      nextNonce: () => `${epoch}-${(++this.#nonces).toString(36)}`,
      removed: (connection) => {
        this.#connections.delete(connection);
      },
    };
    options.metrics?.countClients(() =>
      this.connections().map(({ client }) => {
        const version = client!.metadata.ISTIO_VERSION;
        return typeof version === "string" ? version : "";
      })
    );
    this.#debounce = new Debounce(clock, options.debounce ?? DEBOUNCE_DEFAULTS, (waitedMs) => {
      options.metrics?.debounce.observe(waitedMs / 1000);
      this.pushNow();
    });
  }

  /** Adds the source of one type; before clients connect. */
  register(source: ResourceSource): void {
    this.#sources.set(source.typeUrl, source);
    this.#unsubscribe.push(source.subscribe(({ changed, removed }) => {
      if (this.#dirty.size === 0) this.#dirtySince = this.#shared.clock.now();
      let dirty = this.#dirty.get(source.typeUrl);
      if (!dirty) this.#dirty.set(source.typeUrl, dirty = { changed: new Set(), removed: new Set() });
      for (const name of removed) {
        dirty.removed.add(name);
        dirty.changed.delete(name);
      }
      for (const name of changed) {
        dirty.changed.add(name);
        dirty.removed.delete(name);
      }
      this.#debounce.trigger();
    }));
  }

  /** Starts serving one stream. Call `receive` for each request and `ended` when the stream is over. */
  open(transport: XdsTransport, peer: { caller?: Caller; address: string }): XdsConnection {
    const connection = new XdsConnection(`con-${++this.#opened}`, this.#shared, transport, peer.caller, peer.address);
    if (this.#closed) {
      connection.close("unavailable", "the server is shutting down");
      return connection;
    }
    this.#connections.add(connection);
    return connection;
  }

  /** Pushes gathered changes without waiting for quiet. */
  pushNow(): void {
    this.#debounce.close();
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const [typeUrl, { changed, removed }] of dirty) {
      const batch = new Batch(changed, removed, this.#dirtySince);
      for (const connection of this.#connections) connection.push(typeUrl, batch);
    }
  }

  /** The clients that are connected and have said who they are. */
  connections(): XdsConnection[] {
    return [...this.#connections].filter(({ client }) => client !== undefined);
  }

  /** Ends every stream; clients reconnect elsewhere. */
  close(): void {
    this.#closed = true;
    this.#debounce.close();
    for (const stop of this.#unsubscribe) stop();
    for (const connection of [...this.#connections]) connection.close("unavailable", "the server is shutting down");
  }
}
