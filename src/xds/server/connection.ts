// One client's stream, without its transport.

import type { Node } from "../../gen/envoy/config/core/v3/base_pb.ts";
import type { DeltaDiscoveryRequest } from "../../gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { Caller } from "../../identity/types.ts";
import { describeError } from "../../core/errors.ts";
import type { XdsClientInfo, XdsResource } from "../resource.ts";
import { TYPE_URL } from "../types.ts";
import { checkIdentity, readNode } from "./node.ts";
import { encodeContent, encodeResponse } from "./response.ts";
import type { ServerShared } from "./server.ts";
import { Subscription } from "./subscription.ts";

/** Why a stream is ended by the server; the binding turns it into a gRPC status. */
export type CloseReason = "invalid_argument" | "permission_denied" | "resource_exhausted" | "unavailable";

/** How responses leave. One is given at a time; `sent` asks for the next. */
export interface XdsTransport {
  send(response: Uint8Array, sent: () => void): void;
  close(reason: CloseReason, message: string): void;
}

/** A pushed change, serialised at most once for the clients that get it whole. */
export class Batch {
  #content: { bytes: Uint8Array; resources: number } | undefined;

  /** `since`: when the first of these changes came, by the server's clock. */
  constructor(
    readonly changed: ReadonlySet<string>,
    readonly removed: ReadonlySet<string>,
    readonly since: number,
  ) {}

  content(subscription: Subscription): { bytes: Uint8Array; resources: number } {
    if (!this.#content) {
      const resources: XdsResource[] = [], removed = new Set(this.removed);
      for (const name of this.changed) {
        const resource = subscription.source.get(name, subscription.client);
        if (resource) resources.push(resource);
        else removed.add(name);
      }
      const bytes = encodeContent(subscription.source.typeUrl, resources, removed);
      this.#content = { bytes, resources: resources.length };
    }
    return this.#content;
  }
}

/** Distinct types that one client may ask for. */
const MAX_TYPES = 64;
/** Debug answers under way at one time for a client. */
const MAX_DEBUG = 4;

export class XdsConnection {
  readonly connectedAt: Date;
  readonly subscriptions = new Map<string, Subscription>();
  readonly #unknownTypes = new Set<string>();
  readonly #debugAnswers: Uint8Array[] = [];
  #debugRunning = 0;
  #client: XdsClientInfo | undefined;
  #busy = false;
  #closed = false;

  constructor(
    readonly id: string,
    private readonly shared: ServerShared,
    private readonly transport: XdsTransport,
    private readonly caller: Caller | undefined,
    readonly peerAddress: string,
  ) {
    this.connectedAt = new Date(shared.clock.now());
  }

  /** Undefined before the first request. */
  get client(): XdsClientInfo | undefined {
    return this.#client;
  }

  /** Takes one request in and answers it at once if the transport is free. */
  receive(request: DeltaDiscoveryRequest): void {
    if (this.#closed) return;
    const client = this.#client ?? this.#identify(request.node);
    if (!client) return;
    const { typeUrl } = request;
    if (typeUrl === TYPE_URL.debug || typeUrl.startsWith(`${TYPE_URL.debug}/`)) return this.#debug(request, client);
    const subscription = this.#subscription(typeUrl, client);
    if (!subscription) return;
    const outcome = subscription.request(request);
    const { logger, metrics } = this.shared;
    if (outcome === "nack") {
      metrics?.rejects.with(typeUrl).inc();
      logger.warn("client rejected resources", {
        connection: this.id,
        type: typeUrl,
        nonce: request.responseNonce,
        error: request.errorDetail?.message.slice(0, 2000),
      });
    } else if (outcome === "stale") {
      logger.debug("request with an expired nonce ignored", {
        connection: this.id,
        type: typeUrl,
        nonce: request.responseNonce,
      });
    } else if (outcome === "too_many_names") {
      return this.close("resource_exhausted", "too many resource names");
    }
    this.flush();
  }

  #identify(node: Node | undefined): XdsClientInfo | undefined {
    const client = readNode(node, this.caller, this.peerAddress);
    if (typeof client === "string") {
      this.close("invalid_argument", client);
      return undefined;
    }
    const refusal = this.shared.identityCheck ? checkIdentity(client) : undefined;
    if (refusal) {
      this.shared.logger.warn("client refused", { connection: this.id, node: client.nodeId, reason: refusal });
      this.close("permission_denied", "authorization failed: the identity does not match the node");
      return undefined;
    }
    this.#client = client;
    this.shared.logger.info("client connected", { connection: this.id, node: client.nodeId, peer: this.peerAddress });
    return client;
  }

  #subscription(typeUrl: string, client: XdsClientInfo): Subscription | undefined {
    let subscription = this.subscriptions.get(typeUrl);
    if (subscription) return subscription;
    const source = this.shared.sources.get(typeUrl);
    if (source) {
      subscription = new Subscription(source, client);
      this.subscriptions.set(typeUrl, subscription);
      source.opened?.(client);
      return subscription;
    }
    if (this.#unknownTypes.has(typeUrl)) return undefined;
    if (this.#unknownTypes.size >= MAX_TYPES) {
      this.close("resource_exhausted", "too many types");
      return undefined;
    }
    this.#unknownTypes.add(typeUrl);
    this.shared.logger.info("no source for a type asked for", { connection: this.id, type: typeUrl.slice(0, 256) });
    return undefined;
  }

  #debug(request: DeltaDiscoveryRequest, client: XdsClientInfo): void {
    if (!this.shared.debug || this.#debugRunning >= MAX_DEBUG || request.responseNonce !== "") return;
    this.#debugRunning++;
    const { typeUrl } = request;
    this.shared.debug(typeUrl, request.resourceNamesSubscribe, client).then((resources) => {
      const content = encodeContent(typeUrl, [], []);
      const parts = resources.map((resource) => encodeContent(resource.typeUrl ?? typeUrl, [resource], []));
      this.#debugAnswers.push(
        encodeResponse(typeUrl, this.shared.nextNonce(), concat([content, ...parts]), this.shared.controlPlane),
      );
      this.flush();
    }, (cause) => {
      this.shared.logger.warn("debug question failed", {
        connection: this.id,
        type: typeUrl,
        error: describeError(cause),
      });
    }).finally(() => this.#debugRunning--);
  }

  /** Takes a pushed change of one type in. */
  push(typeUrl: string, batch: Batch): void {
    const subscription = this.subscriptions.get(typeUrl);
    if (!subscription || this.#closed) return;
    const idle = !this.#busy && !subscription.owed, startedAt = performance.now();
    if (idle && subscription.wildcard && subscription.source.shared) {
      subscription.owedSince ??= batch.since;
      const { bytes, resources } = batch.content(subscription);
      return this.#send(subscription, bytes, resources, startedAt);
    }
    if (!subscription.push(batch.changed, batch.removed)) return;
    subscription.owedSince ??= batch.since;
    this.flush();
  }

  /** Sends what is owed, requests' answers first, one response at a time. */
  flush(): void {
    if (this.#busy || this.#closed) return;
    const debugAnswer = this.#debugAnswers.shift();
    if (debugAnswer) return this.#write(debugAnswer);
    let next: Subscription | undefined;
    for (const subscription of this.subscriptions.values()) {
      if (!subscription.owed) continue;
      if (subscription.urgent) {
        next = subscription;
        break;
      }
      next ??= subscription;
    }
    if (!next) return;
    const startedAt = performance.now();
    const { resources, removed } = next.take();
    this.#send(next, encodeContent(next.source.typeUrl, resources, removed), resources.size, startedAt);
  }

  #send(subscription: Subscription, content: Uint8Array, resources: number, startedAt: number): void {
    const { clock, metrics, controlPlane } = this.shared, { owedSince } = subscription;
    subscription.owedSince = undefined;
    const { typeUrl } = subscription.source, nonce = this.shared.nextNonce();
    subscription.sent(nonce, resources, content.length, clock.now());
    metrics?.pushes.with(typeUrl).inc();
    metrics?.sizes.with(typeUrl).observe(content.length);
    const sent = owedSince === undefined
      ? undefined
      : () => metrics?.convergence.observe(Math.max(0, clock.now() - owedSince) / 1000);
    this.#write(encodeResponse(typeUrl, nonce, content, controlPlane), sent);
    metrics?.pushTime.with(typeUrl).observe((performance.now() - startedAt) / 1000);
  }

  #write(response: Uint8Array, sent?: () => void): void {
    this.#busy = true;
    this.transport.send(response, () => {
      this.#busy = false;
      sent?.();
      this.flush();
    });
  }

  /** Ends the stream from this side. */
  close(reason: CloseReason, message: string): void {
    if (this.#closed) return;
    this.ended();
    this.transport.close(reason, message);
  }

  /** The stream has ended. */
  ended(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.shared.removed(this);
    for (const { source, client } of this.subscriptions.values()) source.closed?.(client);
    if (this.#client) {
      this.shared.logger.info("client disconnected", { connection: this.id, node: this.#client.nodeId });
    }
  }
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
