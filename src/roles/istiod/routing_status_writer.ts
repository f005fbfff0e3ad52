// What routing says of Gateways, routes and policies, into their status: by server-side apply, where it differs from what they say.

import { describeError } from "../../core/errors.ts";
import { sameValue } from "../../index/equal.ts";
import {
  type PolicyAncestorStatus,
  type RoutingCondition,
  type RoutingStatus,
  routingStatusKey,
  type RoutingStatusKind,
  type StatusReport,
} from "../../index/mod.ts";
import { isApiStatus, isRefusal, type KubeClient, type KubeObject, type Resource } from "../../kube/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { CONTROLLER } from "./gateways/controllers.ts";
import { WorkQueue } from "./work_queue.ts";

/** Where the objects of a kind are, and their type while it is served. */
export interface StatusSource {
  readonly store: { get(key: string): KubeObject | undefined; values(): Iterable<KubeObject> };
  readonly type: Resource | undefined;
}

/** By the kinds of all statuses that istiod writes. */
export type StatusSources = Readonly<Record<RoutingStatusKind | StatusReport["kind"], StatusSource>>;

export interface RoutingStatusWriterOptions {
  readonly client: KubeClient;
  readonly sources: Readonly<Record<RoutingStatusKind, StatusSource>>;
  readonly logger: Logger;
  readonly now?: () => number;
}

/** Kinds of istio.io write `observedGeneration` as text, beside their conditions. */
const ISTIO_KINDS: ReadonlySet<RoutingStatusKind> = new Set([
  "AuthorizationPolicy",
  "VirtualService",
  "DestinationRule",
  "IstioGateway",
  "PeerAuthentication",
  "RequestAuthentication",
  "Telemetry",
  "EnvoyFilter",
  "WasmPlugin",
  "TrafficExtension",
  "ProxyConfig",
  "Sidecar",
  "WorkloadGroup",
]);

const OUR_CONTROLLERS: ReadonlySet<string> = new Set(Object.values(CONTROLLER));

/** The one condition that is taken back when nothing is wrong any more. */
const PROBLEM_CONDITION = "Reconciled";

type Json = Record<string, any>;

/** Writes statuses while this replica leads. */
export class RoutingStatusWriter {
  readonly #options: RoutingStatusWriterOptions;
  readonly #queue = new WorkQueue();
  #statuses: ReadonlyMap<string, RoutingStatus> = new Map();
  /** The objects that were compared with them. */
  #seen: ReadonlyMap<string, KubeObject | undefined> = new Map();

  constructor(options: RoutingStatusWriterOptions) {
    this.#options = options;
  }

  /** Takes all statuses that hold now. */
  report(statuses: readonly RoutingStatus[]): void {
    // One object may have several writers.
    const now = new Map(statuses.map((status) => [`${routingStatusKey(status)}|${status.fieldManager}`, status]));
    const seen = new Map<string, KubeObject | undefined>();
    for (const [key, status] of now) {
      const object = this.#object(status);
      seen.set(key, object);
      if (this.#statuses.get(key) === status && this.#seen.get(key) === object) continue;
      if (this.#patch(status, object)) this.#queue.add(key);
    }
    this.#statuses = now;
    this.#seen = seen;
  }

  async lead(signal: AbortSignal): Promise<void> {
    // What was not written when leadership ended is compared again.
    this.#statuses = this.#seen = new Map();
    await this.#queue.run(signal, (key) => this.#write(key, signal), (key, error) => {
      this.#options.logger.warn("cannot write a status", { object: key, error: describeError(error) });
    });
  }

  async #write(key: string, signal: AbortSignal): Promise<void> {
    const { client, sources, logger } = this.#options;
    const status = this.#statuses.get(key), patch = status && this.#patch(status, this.#object(status));
    if (!patch) return;
    const { type } = sources[status.kind];
    if (!type) return;
    const { namespace, name, fieldManager } = status;
    try {
      await client.apply(type, {
        metadata: { ...(namespace === "" ? {} : { namespace }), name, ...patch.metadata },
        status: patch.status,
      }, { fieldManager, subresource: "status", signal });
      logger.debug("status written", { object: routingStatusKey(status) });
    } catch (error) {
      // Gone, or changed meanwhile: the watch tells, and it is computed anew.
      if (isApiStatus(error, 404) || isApiStatus(error, 409)) return;
      if (!isRefusal(error)) throw error;
      // The others' statuses do not wait for one that cannot be written.
      logger.warn("a status was refused", { object: routingStatusKey(status), error: describeError(error) });
    }
  }

  #object({ kind, namespace, name }: RoutingStatus): KubeObject | undefined {
    return this.#options.sources[kind].store.get(namespace === "" ? name : `${namespace}/${name}`);
  }

  /** What to apply; undefined where the object says it already. */
  #patch(status: RoutingStatus, object: KubeObject | undefined): { metadata: Json; status: Json } | undefined {
    const { kind } = status;
    // Of another generation: what is said of this one comes soon.
    if (!object || (object.metadata.generation ?? 0) !== status.generation) return undefined;
    const old: Json = object.status ?? {}, istio = ISTIO_KINDS.has(kind);
    const wanted: Json = {};
    if (status.conditions) {
      wanted.conditions = this.#conditions(status.conditions, old.conditions, istio);
      if (istio) wanted.observedGeneration = String(status.generation);
    }
    if (status.addresses) wanted.addresses = status.addresses;
    if (status.listeners) wanted.listeners = this.#listeners(status, old);
    if (status.ancestors) {
      wanted.ancestors = this.#ancestors(status.ancestors, old);
      const { resourceVersion } = object.metadata;
      return sameValue(wanted.ancestors, old.ancestors ?? [])
        ? undefined
        : { metadata: { resourceVersion }, status: wanted };
    }
    if (!status.parents) return same(wanted, old, status) ? undefined : { metadata: {}, status: wanted };
    wanted.parents = this.#parents(status, old);
    // The list is written as a whole: not over what another controller has written since.
    const { resourceVersion } = object.metadata;
    return sameValue(wanted.parents, old.parents ?? []) ? undefined : { metadata: { resourceVersion }, status: wanted };
  }

  #listeners({ listeners }: RoutingStatus, old: Json): Json[] {
    return (listeners ?? []).map((listener) => {
      const before = list(old.listeners).find(({ name }) => name === listener.name);
      return { ...listener, conditions: this.#conditions(listener.conditions, before?.conditions, false) };
    });
  }

  #parents({ parents }: RoutingStatus, old: Json): Json[] {
    const before = list(old.parents);
    const ours = (parents ?? []).map((parent) => {
      const known = before.find(({ parentRef, controllerName }) =>
        controllerName === parent.controllerName && sameValue(parentRef, parent.parentRef)
      );
      return { ...parent, conditions: this.#conditions(parent.conditions, known?.conditions, false) };
    });
    return [...before.filter(({ controllerName }) => !OUR_CONTROLLERS.has(controllerName)), ...ours];
  }

  #ancestors(ancestors: readonly PolicyAncestorStatus[], old: Json): Json[] {
    const before = list(old.ancestors);
    const ours = ancestors.map((one) => {
      const known = before.find(({ ancestorRef, controllerName }) =>
        controllerName === one.controllerName && sameValue(ancestorRef, one.ancestorRef)
      );
      return { ...one, conditions: this.#conditions(one.conditions, known?.conditions, false) };
    });
    return [...before.filter(({ controllerName }) => !OUR_CONTROLLERS.has(controllerName)), ...ours];
  }

  /** With the time of the last change of their status. */
  #conditions(conditions: readonly RoutingCondition[], before: unknown, istio: boolean): Json[] {
    const old = list(before);
    return conditions.map((condition) => {
      const known = old.find(({ type }) => type === condition.type);
      const lastTransitionTime = known?.status === condition.status && known.lastTransitionTime
        ? known.lastTransitionTime
        : new Date(this.#options.now?.() ?? Date.now()).toISOString().replace(/\.\d+Z$/, "Z");
      const observedGeneration = istio ? String(condition.observedGeneration) : condition.observedGeneration;
      return { ...condition, observedGeneration, lastTransitionTime };
    });
  }
}

function list(value: unknown): Json[] {
  return Array.isArray(value) ? value : [];
}

/** Whether an object's status has all that is wanted, and no listener or condition of ours beside it. */
function same(wanted: Json, old: Json, { kind }: RoutingStatus): boolean {
  return Object.entries(wanted).every(([field, value]) => {
    if (field === "conditions") {
      const known = list(old.conditions);
      // None at all: what was said is taken back.
      if (list(value).length === 0) return !known.some(({ type }) => type === PROBLEM_CONDITION);
      return list(value).every((one) => known.some((other) => contains(other, one)));
    }
    if (field === "listeners") {
      const known = list(old.listeners);
      return known.length === value.length && list(value).every((one) => known.some((other) => sameValue(other, one)));
    }
    // Other writers of the same object count other generations.
    return field === "observedGeneration" && kind === "AuthorizationPolicy" ? true : sameValue(old[field], value);
  });
}

function contains(object: Json, part: Json): boolean {
  return Object.entries(part).every(([field, value]) => sameValue(object[field], value));
}
