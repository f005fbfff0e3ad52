// ztunnel's side of delta xDS (workload-xds.md §6-§9): one stream for all types, made again whenever it ends; what was received
// stays meanwhile.

import { create, fromBinary } from "@bufbuild/protobuf";
import { sleep } from "../../core/backoff.ts";
import { describeError, MeshError } from "../../core/errors.ts";
import {
  AggregatedDiscoveryService,
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  type Resource,
} from "../../gen/envoy/service/discovery/v3/discovery_pb.ts";
import { callMetadata, type ControlPlaneOptions, openChannel, readRoots } from "../../identity/control_plane.ts";
import { grpc, grpcMethod } from "../../identity/grpc.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { WILDCARD } from "../types.ts";
import type { XdsClientMetrics } from "./metrics.ts";
import type { XdsNode } from "./node.ts";
import { Reconnect, type StreamEnd } from "./reconnect.ts";
import type { Reject, ResourceType } from "./resource_type.ts";

/** Longest response, as ztunnel's. */
const MAX_RESPONSE_BYTES = 200 * 1024 * 1024;

export interface DeltaXdsClientOptions extends ControlPlaneOptions {
  readonly node: XdsNode;
  readonly types: readonly ResourceType<any>[];
  readonly logger: Logger;
  readonly metrics?: XdsClientMetrics;
  /** Called once, when every wildcard type has had its first response (ztunnel's readiness). */
  readonly onSynced?: () => void;
  readonly reconnect?: { firstMs: number; maxMs: number };
}

/** What is known of one type across streams. */
interface TypeState {
  readonly type: ResourceType<any>;
  /** Names accepted, with their versions: sent as initial_resource_versions. */
  readonly accepted: Map<string, string>;
  /** Names asked for on demand and not answered yet, with who waits. */
  readonly pending: Map<string, (() => void)[]>;
  synced: boolean;
}

/** One stream while it lives. */
interface Stream {
  send(request: DeltaDiscoveryRequest): void;
}

export class DeltaXdsClient {
  readonly #options: DeltaXdsClientOptions;
  readonly #states = new Map<string, TypeState>();
  readonly #method = grpcMethod(AggregatedDiscoveryService.method.deltaAggregatedResources);
  #stream: Stream | undefined;
  #synced = false;

  constructor(options: DeltaXdsClientOptions) {
    this.#options = options;
    for (const type of options.types) {
      this.#states.set(type.typeUrl, { type, accepted: new Map(), pending: new Map(), synced: false });
    }
  }

  /** Whether a stream is open now. */
  get connected(): boolean {
    return this.#stream !== undefined;
  }

  /** Whether every wildcard type has been received once. */
  get synced(): boolean {
    return this.#synced;
  }

  /** How many resources of a type are held. */
  count(typeUrl: string): number {
    return this.#states.get(typeUrl)?.accepted.size ?? 0;
  }

  /**
   * Asks for one name of an on-demand type. Resolves when the server has answered, with the resource or with its absence; at
   * once when the name is held already.
   */
  request(typeUrl: string, name: string): Promise<void> {
    const state = this.#states.get(typeUrl);
    if (!state?.type.onDemand || state.accepted.has(name)) return Promise.resolve();
    return new Promise((resolve) => {
      const waiting = state.pending.get(name);
      if (waiting) return void waiting.push(resolve);
      state.pending.set(name, [resolve]);
      this.#stream?.send(create(DeltaDiscoveryRequestSchema, { typeUrl, resourceNamesSubscribe: [name] }));
    });
  }

  /** Keeps a stream open until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { logger, metrics } = this.#options, reconnect = new Reconnect(this.#options.reconnect);
    while (!signal.aborted) {
      let end: StreamEnd;
      try {
        end = await this.#once(signal);
      } catch (cause) {
        // Root or token could not be read, or the address is wrong: as a server that refuses.
        end = { status: grpc.status.UNAUTHENTICATED, details: describeError(cause), answered: false };
      }
      if (signal.aborted) return;
      const waitMs = reconnect.after(end);
      metrics?.terminations.with(reasonOf(end)).inc();
      logger.warn("XDS client connection error, retrying", {
        address: this.#options.address,
        status: end.status === undefined ? "OK" : grpc.status[end.status],
        error: end.details,
        retryMs: waitMs,
      });
      await sleep(waitMs, signal);
    }
  }

  /** One channel and one stream, from connecting to the end. */
  async #once(signal: AbortSignal): Promise<StreamEnd> {
    const options = this.#options;
    const [roots, metadata] = await Promise.all([readRoots(options), callMetadata(options)]);
    const client = openChannel(options, roots, MAX_RESPONSE_BYTES);
    let answered = false;
    try {
      return await new Promise<StreamEnd>((resolve) => {
        // Responses are decoded here, one at a time, so that their size can be counted.
        const call = client.makeBidiStreamRequest(
          this.#method.path,
          this.#method.requestSerialize,
          (bytes: Uint8Array) => bytes,
          metadata,
        );
        const abort = () => call.cancel();
        signal.addEventListener("abort", abort);
        call.on("data", (bytes: Uint8Array) => {
          answered = true;
          try {
            this.#receive(bytes);
          } catch (cause) {
            // A message that is no DeltaDiscoveryResponse ends the stream; nothing of it was applied.
            options.logger.error("XDS response cannot be read", { error: describeError(cause) });
            call.cancel();
          }
        });
        call.on("error", () => {});
        call.on("end", () => call.end());
        call.on("status", ({ code, details }: grpc.StatusObject) => {
          signal.removeEventListener("abort", abort);
          resolve({ status: code === grpc.status.OK ? undefined : code, details, answered });
        });
        this.#stream = { send: (request) => void call.write(request) };
        for (const state of this.#states.values()) this.#stream.send(this.#initial(state));
        if (signal.aborted) abort();
      });
    } finally {
      this.#stream = undefined;
      client.close();
    }
  }

  #initial({ type, accepted, pending }: TypeState): DeltaDiscoveryRequest {
    const { node } = this.#options;
    const retained = Object.fromEntries([...accepted, ...[...pending.keys()].map((name) => [name, ""])]);
    return create(DeltaDiscoveryRequestSchema, {
      node: { id: node.id, metadata: node.metadata },
      typeUrl: type.typeUrl,
      // Both at once means "nothing yet".
      resourceNamesSubscribe: type.onDemand ? [WILDCARD] : [],
      resourceNamesUnsubscribe: type.onDemand ? [WILDCARD] : [],
      initialResourceVersions: retained,
    });
  }

  #receive(bytes: Uint8Array): void {
    const response = fromBinary(DeltaDiscoveryResponseSchema, bytes);
    const { typeUrl, nonce } = response;
    this.#options.metrics?.messages.with(typeUrl).inc();
    this.#options.metrics?.bytes.with(typeUrl).inc(bytes.length);
    const state = this.#states.get(typeUrl);
    let rejects: readonly Reject[] = [];
    if (state) rejects = this.#apply(state, response);
    else this.#options.logger.warn("XDS response of a type that was not asked for", { type: typeUrl });
    if (rejects.length > 0) {
      this.#options.logger.warn("XDS resources rejected", { type: typeUrl, count: rejects.length, first: rejects[0] });
    }
    this.#stream?.send(create(DeltaDiscoveryRequestSchema, {
      typeUrl,
      responseNonce: nonce,
      // Code 0, as ztunnel sends: the presence of the detail is what refuses.
      errorDetail: rejects.length > 0
        ? { message: rejects.map(({ name, reason }) => `${name}: ${reason}`).join("; ") }
        : undefined,
    }));
    if (state && !state.synced && (state.type.complete?.() ?? true)) {
      state.synced = true;
      this.#checkSynced();
    }
  }

  /** Gives a response to its owner and remembers what was accepted. */
  #apply(state: TypeState, response: DeltaDiscoveryResponse): Reject[] {
    const rejects: Reject[] = [], added: { name: string; value: unknown }[] = [];
    for (const resource of response.resources) {
      try {
        added.push({ name: resource.name, value: decode(state.type, resource) });
      } catch (cause) {
        rejects.push({ name: resource.name, reason: describeError(cause) });
      }
    }
    try {
      rejects.push(...state.type.onUpdate({ added, removed: response.removedResources }) ?? []);
    } catch (cause) {
      // The owner could not take the update: nothing of it counts as accepted.
      const reason = describeError(cause);
      this.#options.logger.error("XDS update failed", { type: state.type.typeUrl, error: reason });
      rejects.push(...added.map(({ name }) => ({ name, reason })));
    }
    const refused = new Set(rejects.map(({ name }) => name));
    for (const name of response.removedResources) {
      state.accepted.delete(name);
      settle(state, name);
    }
    for (const { name, version, aliases } of response.resources) {
      // A refused resource is forgotten, so that it is sent again on the next stream.
      if (refused.has(name)) state.accepted.delete(name);
      else state.accepted.set(name, version);
      for (const known of [name, ...aliases]) settle(state, known);
    }
    return rejects;
  }

  #checkSynced(): void {
    if (this.#synced) return;
    for (const { type, synced } of this.#states.values()) if (!type.onDemand && !synced) return;
    this.#synced = true;
    this.#options.onSynced?.();
  }
}

function decode(type: ResourceType<unknown>, { resource }: Resource): unknown {
  if (!resource) throw new MeshError("invalid_resource", "a resource without content", { source: "upstream" });
  if (resource.typeUrl !== type.typeUrl) {
    throw new MeshError("invalid_resource", `a resource of type "${resource.typeUrl.slice(0, 256)}"`, {
      source: "upstream",
    });
  }
  return type.decode(resource.value);
}

function settle(state: TypeState, name: string): void {
  const waiting = state.pending.get(name);
  if (!waiting) return;
  state.pending.delete(name);
  for (const resolve of waiting) resolve();
}

/** ztunnel's label values. */
function reasonOf({ status, answered }: StreamEnd): string {
  if (status === undefined) return "complete";
  if (status === grpc.status.UNAVAILABLE && !answered) return "connection_error";
  return "grpc_error";
}
