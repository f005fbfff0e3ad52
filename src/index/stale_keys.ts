// What has to be computed anew after changes of inputs: keys only, each once however often it is named.

import type { Change } from "../kube/store.ts";
import { type EndpointSlice, type KubeObject, objectKey } from "../kube/types.ts";
import { slicePods, sliceService } from "./endpoint_slice.ts";
import { sameValue } from "./equal.ts";
import { BY, type IndexInputs, withLabels } from "./inputs.ts";
import { ANNOTATION, LABEL, type Labels } from "./labels.ts";
import type { ServiceInfo } from "./service.ts";
import { readServiceEntry } from "./service_entry.ts";
import type { MeshSettings } from "./settings.ts";
import { workloadEntryLabels } from "./workload_entry.ts";

/** Keys of objects whose outputs are stale, by input. */
export class StaleKeys {
  readonly pods = new Set<string>();
  readonly services = new Set<string>();
  readonly slices = new Set<string>();
  readonly policies = new Set<string>();
  readonly gateways = new Set<string>();
  readonly serviceEntries = new Set<string>();
  readonly workloadEntries = new Set<string>();
  /** Addresses of ServiceEntries' hosts. */
  allocation = true;
  /** What PeerAuthentications come to. */
  peers = false;

  readonly #inputs: IndexInputs;
  readonly #settings: () => MeshSettings;
  readonly #serviceOf: (key: string) => ServiceInfo | undefined;

  /** @param serviceOf a Service as it was when it was last built */
  constructor(
    inputs: IndexInputs,
    settings: () => MeshSettings,
    serviceOf: (key: string) => ServiceInfo | undefined,
  ) {
    this.#inputs = inputs;
    this.#settings = settings;
    this.#serviceOf = serviceOf;
  }

  /** Takes changes of one input in. */
  changed(input: keyof IndexInputs, changes: readonly Change[]): void {
    for (const change of changes) {
      const key = objectKey(change.object);
      switch (input) {
        case "pods":
          this.pods.add(key);
          break;
        case "services":
          this.services.add(key);
          break;
        case "endpointSlices":
          this.#sliceChanged(key, change as Change<EndpointSlice>);
          break;
        case "namespaces":
          this.#namespaceChanged(change);
          break;
        case "nodes":
          if (change.type === "updated" && sameValue(change.old.metadata.labels, change.object.metadata.labels)) break;
          mark(this.pods, this.#inputs.pods.by(BY.node, change.object.metadata.name));
          break;
        case "authorizationPolicies":
          this.policies.add(key);
          break;
        case "peerAuthentications":
          this.peers = true;
          break;
        case "gateways":
          this.gateways.add(key);
          break;
        case "gatewayClasses":
          for (const gateway of this.#inputs.gateways.values()) {
            if (gateway.spec?.gatewayClassName === key) this.gateways.add(objectKey(gateway));
          }
          break;
        case "serviceEntries":
          this.#serviceEntryChanged(change);
          break;
        case "workloadEntries":
          this.workloadEntries.add(key);
          break;
      }
    }
  }

  /** Marks everything. */
  everything(): void {
    const { pods, services, endpointSlices, authorizationPolicies } = this.#inputs;
    mark(this.gateways, this.#inputs.gateways.values());
    mark(this.serviceEntries, this.#inputs.serviceEntries.values());
    mark(this.workloadEntries, this.#inputs.workloadEntries.values());
    this.allocation = true;
    mark(this.pods, pods.values());
    mark(this.services, services.values());
    mark(this.slices, endpointSlices.values());
    mark(this.policies, authorizationPolicies.values());
    this.peers = true;
  }

  #sliceChanged(key: string, change: Change<EndpointSlice>): void {
    this.slices.add(key);
    for (const slice of change.type === "updated" ? [change.old, change.object] : [change.object]) {
      const service = sliceService(slice);
      // Slices of a Service with a selector say nothing that the pods do not say themselves. What the Service was when it was last built
      // decides: a Service that differs now marks its slices' pods by itself.
      const info = service === undefined ? undefined : this.#serviceOf(service);
      if (!info || info.selector) continue;
      for (const pod of slicePods(slice)) this.pods.add(pod);
    }
  }

  #namespaceChanged(change: Change): void {
    const { metadata } = change.object, old = change.type === "updated" ? change.old.metadata : undefined;
    const differs = (read: (meta: KubeObject["metadata"]) => string | undefined) =>
      change.type !== "updated" || read(metadata) !== read(old!);
    if (metadata.name === this.#settings().rootNamespace && differs(({ labels }) => labels?.[LABEL.network])) {
      this.everything();
    }
    // Any label may decide whether a waypoint admits the namespace.
    const labels = !sameValue(metadata.labels ?? {}, old?.labels ?? {});
    const weight = differs(({ annotations }) => annotations?.[ANNOTATION.waypointCanaryWeight]);
    if (labels || weight || differs(({ annotations }) => annotations?.[ANNOTATION.trafficDistribution])) {
      mark(this.services, this.#inputs.services.by(BY.namespace, metadata.name));
      mark(this.serviceEntries, this.#inputs.serviceEntries.by(BY.namespace, metadata.name));
    }
    if (labels) {
      mark(this.pods, this.#inputs.pods.by(BY.namespace, metadata.name));
      mark(this.workloadEntries, this.#inputs.workloadEntries.by(BY.namespace, metadata.name));
    }
  }

  #serviceEntryChanged(change: Change): void {
    const { type, object } = change;
    this.serviceEntries.add(objectKey(object));
    this.allocation = true;
    const before = type === "updated" ? change.old : undefined;
    for (const entry of before ? [before, object] : [object]) {
      // Entries with the same host decide among themselves which is the one.
      for (const host of readServiceEntry(entry).hosts) {
        mark(this.serviceEntries, this.#inputs.serviceEntries.by(BY.host, host));
      }
    }
  }

  /** Marks the pods and entries with these labels, of one namespace or ("") of all. */
  selected(selector: Labels, namespace: string): void {
    mark(this.pods, withLabels(this.#inputs.pods, selector, namespace, ({ metadata }) => metadata.labels));
    const entries = withLabels(this.#inputs.workloadEntries, selector, namespace, workloadEntryLabels);
    mark(this.workloadEntries, entries);
    // Inline endpoints have labels of their own; there are few of them.
    const { serviceEntries } = this.#inputs;
    mark(
      this.serviceEntries,
      namespace === "" ? serviceEntries.values() : serviceEntries.by(BY.namespace, namespace),
    );
  }
}

/** Adds the keys of objects. */
export function mark(stale: Set<string>, objects: Iterable<KubeObject>): void {
  for (const object of objects) stale.add(objectKey(object));
}

/** Empties a set; what was in it. */
export function take(set: Set<string>): string[] {
  const all = [...set];
  set.clear();
  return all;
}
