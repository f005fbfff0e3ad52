import { Store } from "../kube/store.ts";
import type { EndpointSlice, KubeObject, KubeService, Pod } from "../kube/types.ts";
import { slicePods, sliceService } from "./endpoint_slice.ts";
import { selectorPair } from "./labels.ts";

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
  /** Pods by `namespace|key=value`. */
  label: "label",
  /** Pods by `key=value`, whatever their namespace. */
  anyLabel: "any-label",
  /** Pods by `namespace/serviceaccount`. */
  serviceAccount: "service-account",
  /** Services by the first pair of their selector, as `namespace|key=value`. */
  selector: "selector",
  /** Slices by `namespace/name` of their Service. */
  service: "service",
  /** Slices by `namespace/name` of a pod they name. */
  pod: "pod",
} as const;

const namespaceOf = ({ metadata }: KubeObject) => [metadata.namespace ?? ""];

/** Adds what finds the objects that a change affects. */
export function addIndexes(inputs: IndexInputs): void {
  const { pods, services, endpointSlices, peerAuthentications } = inputs;
  pods.addIndex(BY.namespace, namespaceOf);
  pods.addIndex(BY.node, ({ spec }) => spec.nodeName ? [spec.nodeName] : []);
  pods.addIndex(
    BY.label,
    ({ metadata }) =>
      Object.entries(metadata.labels ?? {}).map(([key, value]) => `${metadata.namespace}|${key}=${value}`),
  );
  pods.addIndex(BY.anyLabel, ({ metadata }) => Object.entries(metadata.labels ?? {}).map((pair) => pair.join("=")));
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
