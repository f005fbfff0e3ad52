import type { KubeObject } from "../../kube/types.ts";
import type { AmbientIndex } from "../ambient_index.ts";
import { GatewayRoutes } from "./gateway_api/attachment.ts";
import { Grants } from "./gateway_api/grants.ts";
import type { RoutingInputs } from "./inputs.ts";
import { DestinationRules } from "./istio/destination_rules.ts";
import { type ParsedIstioGateway, readIstioGateway } from "./istio/gateway.ts";
import { VirtualServices } from "./istio/virtual_services.ts";
import { type RoutableService, ServiceTable } from "./services.ts";
import type { RoutingSettings } from "./settings.ts";

/** All that routing knows, at one moment: objects by what finds them. Built anew after a change; what it reads is remembered by object. */
export class World {
  readonly services: ServiceTable;
  readonly grants: Grants;
  readonly destinationRules: DestinationRules;
  readonly virtualServices: VirtualServices;
  /** Oldest first. */
  readonly istioGateways: readonly ParsedIstioGateway[];
  #routes: GatewayRoutes | undefined;

  constructor(readonly inputs: RoutingInputs, readonly ambient: AmbientIndex, readonly settings: RoutingSettings) {
    const { clusterDomain, rootNamespace } = ambient.settings;
    this.services = new ServiceTable(inputs, ambient);
    this.grants = new Grants(inputs.referenceGrants.values());
    this.destinationRules = new DestinationRules(
      inputs.destinationRules.values(),
      clusterDomain,
      rootNamespace,
      settings.defaultDestinationRuleExportTo,
    );
    this.virtualServices = new VirtualServices(
      inputs.virtualServices.values(),
      clusterDomain,
      settings.defaultVirtualServiceExportTo,
    );
    this.istioGateways = [...inputs.istioGateways.values()].map(readIstioGateway).sort((a, b) =>
      a.age < b.age ? -1 : 1
    );
  }

  /** Gateways of the Gateway API, with their routes. */
  get gatewayRoutes(): GatewayRoutes {
    return this.#routes ??= new GatewayRoutes(this);
  }

  /** The name of something of a service. Of hosts that several namespaces have, all but the one that the mesh knows show whose they are. */
  uniqueName(usual: string, { key, namespace }: RoutableService): string {
    return this.ambient.services.get(key)?.canonical === false ? `${usual}|${namespace}` : usual;
  }

  /** Labels of a namespace, with the one that Kubernetes gives every namespace. */
  namespaceLabels(name: string): Readonly<Record<string, string>> {
    const object: KubeObject | undefined = this.inputs.namespaces.get(name);
    return { "kubernetes.io/metadata.name": name, ...object?.metadata.labels };
  }
}
