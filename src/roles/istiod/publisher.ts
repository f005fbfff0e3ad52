import type { AmbientIndex, IndexDelta, IndexInputs, RoutingInputs, StatusReport } from "../../index/mod.ts";
import type { Change } from "../../kube/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Registry } from "../../telemetry/metrics.ts";
import {
  AddressStore,
  authorizationResource,
  authorizationStore,
  type ResourceStore,
  serviceResource,
  workloadResource,
} from "../../xds/resource_store.ts";

/** Istio's words for what caused an update, and for what triggered a push. Undefined: the ambient index does not read it. */
const INPUTS: Readonly<Record<keyof RoutingInputs, readonly [update: string, trigger: string, ambient: boolean]>> = {
  pods: ["eds", "endpoint", true],
  endpointSlices: ["eds", "endpoint", true],
  services: ["svc", "service", true],
  namespaces: ["config", "namespace", true],
  nodes: ["config", "config", true],
  authorizationPolicies: ["config", "config", true],
  peerAuthentications: ["config", "config", true],
  gateways: ["config", "config", true],
  gatewayClasses: ["config", "config", true],
  serviceEntries: ["svc", "service", true],
  workloadEntries: ["eds", "endpoint", true],
  httpRoutes: ["config", "config", false],
  grpcRoutes: ["config", "config", false],
  tcpRoutes: ["config", "config", false],
  tlsRoutes: ["config", "config", false],
  udpRoutes: ["config", "config", false],
  backendTlsPolicies: ["config", "config", false],
  requestAuthentications: ["config", "config", false],
  telemetries: ["config", "config", false],
  envoyFilters: ["config", "config", false],
  wasmPlugins: ["config", "config", false],
  trafficExtensions: ["config", "config", false],
  proxyConfigs: ["config", "config", false],
  sidecars: ["config", "config", false],
  workloadGroups: ["config", "config", false],
  listenerSets: ["config", "config", false],
  referenceGrants: ["config", "config", false],
  istioGateways: ["config", "config", false],
  virtualServices: ["config", "config", false],
  destinationRules: ["config", "config", false],
  secrets: ["config", "secret", false],
  configMaps: ["config", "configmap", false],
};

/** Istio's words for objects of Kubernetes itself, where it counts events apart from those of configuration. */
const REGISTRY_TYPES: Readonly<Partial<Record<keyof RoutingInputs, string>>> = {
  pods: "Pods",
  endpointSlices: "EndpointSlice",
  services: "Services",
  nodes: "Nodes",
  namespaces: "Namespaces",
};
const EVENTS: Readonly<Record<Change["type"], string>> = { added: "add", updated: "update", deleted: "delete" };

/**
 * Carries changes from the informers through the index into the xDS sources. Changes that arrive in one turn of the event loop are
 * computed together; nothing is computed before `open`, so that no client sees half of the first lists.
 */
export class Publisher {
  readonly addresses = new AddressStore();
  readonly authorizations: ResourceStore = authorizationStore();
  readonly #index: AmbientIndex;
  readonly #updates;
  readonly #triggers;
  readonly #registryEvents;
  readonly #configEvents;
  readonly #triggered = new Set<string>();
  readonly #flushed = new Set<() => void>();
  #onStatuses: ((reports: StatusReport[], removed: readonly string[]) => void) | undefined;
  #open = false;
  #scheduled = false;

  /** What was said of PeerAuthentications, which have no condition to say it in. */
  #problems = "";
  readonly #logger: Logger;

  constructor(index: AmbientIndex, registry: Registry, logger: Logger) {
    this.#index = index;
    this.#logger = logger;
    this.#updates = registry.counter("pilot_inbound_updates", "Total number of updates received by pilot.", ["type"]);
    this.#triggers = registry.counter(
      "pilot_push_triggers",
      "Total number of times a push was triggered, labeled by reason for the push.",
      ["type"],
    );
    this.#registryEvents = registry.counter("pilot_k8s_reg_events", "Events from k8s registry.", ["type", "event"]);
    this.#configEvents = registry.counter("pilot_k8s_cfg_events", "Events from k8s config.", ["type", "event"]);
    const services = registry.gauge("pilot_services", "Total services known to pilot.").with();
    registry.onCollect(() => services.set(index.services.size));
  }

  changed(input: keyof RoutingInputs, changes: readonly Change[]): void {
    const [update, trigger, ambient] = INPUTS[input];
    this.#updates.with(update).inc(changes.length);
    const type = REGISTRY_TYPES[input];
    for (const { type: event, object } of changes) {
      if (type !== undefined) this.#registryEvents.with(type, EVENTS[event]).inc();
      else this.#configEvents.with(object.kind ?? input, EVENTS[event]).inc();
    }
    this.#triggered.add(trigger);
    if (ambient) this.#index.changed(input as keyof IndexInputs, changes);
    this.schedule();
  }

  /** Computes soon. */
  schedule(): void {
    if (!this.#open || this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  /** Begins to publish: everything that is known now, then every change. */
  open(): void {
    this.#open = true;
    this.flush();
  }

  /** Whether what is known has been published once. */
  get opened(): boolean {
    return this.#open;
  }

  /** Hears of every flush, after it: inputs have changed, and the ambient index has taken them in. */
  onFlush(handler: () => void): void {
    this.#flushed.add(handler);
  }

  /** Hears of statuses that changed, and of the keys of those that went. Returns all that there are now. */
  onStatuses(
    handler: ((reports: StatusReport[], removed: readonly string[]) => void) | undefined,
  ): readonly StatusReport[] {
    this.#onStatuses = handler;
    return [...this.#index.statuses.values()];
  }

  flush(): void {
    const delta: IndexDelta = this.#index.flush();
    const { workloads, services, policies, statuses } = this.#index;
    const found = <V>(names: readonly string[], table: { get(name: string): V | undefined }) =>
      names.map((name) => table.get(name)!);
    for (const trigger of this.#triggered) this.#triggers.with(trigger).inc();
    this.#triggered.clear();
    // Policies first: a workload must not be known with a policy that is not.
    this.authorizations.apply(
      found(delta.policies.changed, policies).map(authorizationResource),
      delta.policies.removed,
    );
    this.addresses.apply(
      [
        ...found(delta.services.changed, services).map(serviceResource),
        ...found(delta.workloads.changed, workloads).map(workloadResource),
      ],
      [...delta.services.removed, ...delta.workloads.removed],
    );
    const problems = JSON.stringify([...this.#index.peerProblems]);
    if (problems !== this.#problems) {
      this.#problems = problems;
      for (const [name, found] of this.#index.peerProblems) {
        this.#logger.warn("PeerAuthentication cannot be understood", { name, problems: found.join("; ") });
      }
    }
    if (delta.statuses.changed.length + delta.statuses.removed.length > 0) {
      this.#onStatuses?.(found(delta.statuses.changed, statuses), delta.statuses.removed);
    }
    for (const handler of this.#flushed) handler();
  }
}
