import type { AmbientIndex, IndexDelta, IndexInputs, StatusReport } from "../../index/mod.ts";
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

/** Istio's word for what caused an update. */
const UPDATE_TYPE: Readonly<Record<keyof IndexInputs, string>> = {
  pods: "eds",
  endpointSlices: "eds",
  services: "svc",
  namespaces: "config",
  nodes: "config",
  authorizationPolicies: "config",
  peerAuthentications: "config",
  gateways: "config",
  gatewayClasses: "config",
  serviceEntries: "svc",
  workloadEntries: "eds",
};

/**
 * Carries changes from the informers through the index into the xDS sources. Changes that arrive in one turn of the event loop are
 * computed together; nothing is computed before `open`, so that no client sees half of the first lists.
 */
export class Publisher {
  readonly addresses = new AddressStore();
  readonly authorizations: ResourceStore = authorizationStore();
  readonly #index: AmbientIndex;
  readonly #updates;
  #onStatuses: ((reports: StatusReport[]) => void) | undefined;
  #open = false;
  #scheduled = false;

  /** What was said of PeerAuthentications, which have no condition to say it in. */
  #problems = "";
  readonly #logger: Logger;

  constructor(index: AmbientIndex, registry: Registry, logger: Logger) {
    this.#index = index;
    this.#logger = logger;
    this.#updates = registry.counter("pilot_inbound_updates", "Total number of updates received by pilot.", ["type"]);
    const services = registry.gauge("pilot_services", "Total services known to pilot.").with();
    registry.onCollect(() => services.set(index.services.size));
  }

  changed(input: keyof IndexInputs, changes: readonly Change[]): void {
    this.#updates.with(UPDATE_TYPE[input]).inc(changes.length);
    this.#index.changed(input, changes);
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

  /** Hears of statuses that changed; at once of all that there are. */
  onStatuses(handler: ((reports: StatusReport[]) => void) | undefined): void {
    this.#onStatuses = handler;
    handler?.([...this.#index.statuses.values()]);
  }

  flush(): void {
    const delta: IndexDelta = this.#index.flush();
    const { workloads, services, policies, statuses } = this.#index;
    const found = <V>(names: readonly string[], table: { get(name: string): V | undefined }) =>
      names.map((name) => table.get(name)!);
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
    if (delta.statuses.changed.length > 0) this.#onStatuses?.(found(delta.statuses.changed, statuses));
  }
}
