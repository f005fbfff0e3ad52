import { Store } from "../kube/store.ts";
import type { EndpointSlice, KubeObject, KubeService, Pod } from "../kube/types.ts";
import { slicePods, sliceService } from "./endpoint_slice.ts";
import { type Labels, selectorPair, selects } from "./labels.ts";
import { readServiceEntry } from "./service_entry.ts";
import { workloadEntryLabels } from "./workload_entry.ts";

/** The objects that the index reads; informers' stores, or a test's. */
export interface IndexInputs {
  readonly pods: Store<Pod>;
  readonly services: Store<KubeService>;
  readonly endpointSlices: Store<EndpointSlice>;
  readonly namespaces: Store<KubeObject>;
  readonly nodes: Store<KubeObject>;
  readonly authorizationPolicies: Store<KubeObject>;
  readonly peerAuthentications: Store<KubeObject>;
  /** Of the Gateway API: waypoints are found among them. */
  readonly gateways: Store<KubeObject>;
  readonly gatewayClasses: Store<KubeObject>;
  readonly serviceEntries: Store<KubeObject>;
  readonly workloadEntries: Store<KubeObject>;
}

/** Empty inputs. */
export function newInputs(): IndexInputs {
  return {
    pods: new Store(),
    services: new Store(),
    endpointSlices: new Store(),
    namespaces: new Store(),
    nodes: new Store(),
    authorizationPolicies: new Store(),
    peerAuthentications: new Store(),
    gateways: new Store(),
    gatewayClasses: new Store(),
    serviceEntries: new Store(),
    workloadEntries: new Store(),
  };
}

/** Names of the indexes that {@linkcode addIndexes} makes. */
export const BY = {
  namespace: "namespace",
  node: "node",
  /** Pods and WorkloadEntries by `namespace|key=value`. */
  label: "label",
  /** The same by `key=value`, whatever their namespace. */
  anyLabel: "any-label",
  /** Pods by `namespace/serviceaccount`. */
  serviceAccount: "service-account",
  /** Services and ServiceEntries by the first pair of their selector, as `namespace|key=value`. */
  selector: "selector",
  /** ServiceEntries by host. */
  host: "host",
  /** Slices by `namespace/name` of their Service. */
  service: "service",
  /** Slices by `namespace/name` of a pod they name. */
  pod: "pod",
} as const;

const namespaceOf = ({ metadata }: KubeObject) => [metadata.namespace ?? ""];

/** Adds what finds the objects that a change affects. */
export function addIndexes(inputs: IndexInputs): void {
  const { pods, services, endpointSlices, peerAuthentications, serviceEntries, workloadEntries } = inputs;
  pods.addIndex(BY.namespace, namespaceOf);
  pods.addIndex(BY.node, ({ spec }) => spec.nodeName ? [spec.nodeName] : []);
  const pairs = (labels: Labels) => Object.entries(labels).map((pair) => pair.join("="));
  const inNamespace = ({ metadata }: KubeObject, pairs: readonly string[]) =>
    pairs.map((pair) => `${metadata.namespace}|${pair}`);
  pods.addIndex(BY.label, (pod) => inNamespace(pod, pairs(pod.metadata.labels ?? {})));
  pods.addIndex(BY.anyLabel, ({ metadata }) => pairs(metadata.labels ?? {}));
  workloadEntries.addIndex(BY.namespace, namespaceOf);
  workloadEntries.addIndex(BY.label, (entry) => inNamespace(entry, pairs(workloadEntryLabels(entry))));
  workloadEntries.addIndex(BY.anyLabel, (entry) => pairs(workloadEntryLabels(entry)));
  serviceEntries.addIndex(BY.namespace, namespaceOf);
  serviceEntries.addIndex(BY.host, (entry) => readServiceEntry(entry).hosts);
  serviceEntries.addIndex(BY.selector, (entry) => {
    const pair = selectorPair(readServiceEntry(entry).selector ?? {});
    return pair === undefined ? [] : [`${entry.metadata.namespace}|${pair}`];
  });
  pods.addIndex(
    BY.serviceAccount,
    ({ metadata, spec }) => [`${metadata.namespace}/${spec.serviceAccountName || "default"}`],
  );
  services.addIndex(BY.namespace, namespaceOf);
  services.addIndex(BY.selector, ({ metadata, spec }) => {
    const pair = selectorPair(spec.selector ?? {});
    return pair === undefined ? [] : [`${metadata.namespace}|${pair}`];
  });
  endpointSlices.addIndex(BY.service, (slice) => {
    const service = sliceService(slice);
    return service === undefined ? [] : [service];
  });
  endpointSlices.addIndex(BY.pod, slicePods);
  peerAuthentications.addIndex(BY.namespace, namespaceOf);
}

/** Objects with these labels, of one namespace or ("") of all. */
export function withLabels<T extends KubeObject>(
  store: Store<T>,
  selector: Labels,
  namespace: string,
  labelsOf: (object: T) => Labels | undefined,
): Iterable<T> {
  const pair = selectorPair(selector);
  if (pair === undefined) return namespace === "" ? store.values() : store.by(BY.namespace, namespace);
  const candidates = namespace === "" ? store.by(BY.anyLabel, pair) : store.by(BY.label, `${namespace}|${pair}`);
  return [...candidates].filter((object) => selects(selector, labelsOf(object)));
}
