import type { IndexInputs } from "../../src/index/mod.ts";

const INPUT: Record<string, keyof IndexInputs> = {
  Pod: "pods",
  Service: "services",
  EndpointSlice: "endpointSlices",
  Namespace: "namespaces",
  Node: "nodes",
  AuthorizationPolicy: "authorizationPolicies",
  PeerAuthentication: "peerAuthentications",
  Gateway: "gateways",
  GatewayClass: "gatewayClasses",
  ServiceEntry: "serviceEntries",
  WorkloadEntry: "workloadEntries",
};

/** The input of the index that an object of this kind belongs to. */
export function inputOf(object: { kind: string }): keyof IndexInputs {
  const input = INPUT[object.kind];
  if (!input) throw new Error(`the index has no input for kind "${object.kind}"`);
  return input;
}
