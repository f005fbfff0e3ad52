// The informers of istiod, and how they feed the index.

import {
  type EndpointSlice,
  Informer,
  type InformerTiming,
  type KubeClient,
  type KubeObject,
  type KubeService,
  type Pod,
  type Resource,
  RESOURCES,
} from "../../kube/mod.ts";
import { type IndexInputs, leanNode, leanPod, withoutManagedFields } from "../../index/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";

export interface Informers {
  readonly pods: Informer<Pod>;
  readonly services: Informer<KubeService>;
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly namespaces: Informer;
  readonly nodes: Informer;
  readonly authorizationPolicies: Informer;
  readonly peerAuthentications: Informer;
}

export function newInformers(client: KubeClient, logger: Logger, timing?: Partial<InformerTiming>): Informers {
  const informer = <T extends KubeObject>(type: Resource, transform: (object: T) => T, optional = false) =>
    new Informer<T>({ client, type, logger, transform, optional, timing });
  return {
    pods: informer<Pod>(RESOURCES.pods, leanPod),
    services: informer<KubeService>(RESOURCES.services, withoutManagedFields),
    endpointSlices: informer<EndpointSlice>(RESOURCES.endpointSlices, withoutManagedFields),
    namespaces: informer<KubeObject>(RESOURCES.namespaces, withoutManagedFields),
    nodes: informer<KubeObject>(RESOURCES.nodes, leanNode),
    authorizationPolicies: informer<KubeObject>(RESOURCES.authorizationPolicies, withoutManagedFields, true),
    peerAuthentications: informer<KubeObject>(RESOURCES.peerAuthentications, withoutManagedFields, true),
  };
}

/** The informers' stores as the index wants them. */
export function storesOf(informers: Informers): IndexInputs {
  return Object.fromEntries(
    Object.entries(informers).map(([name, informer]) => [name, informer.store]),
  ) as unknown as IndexInputs;
}
