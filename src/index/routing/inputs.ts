import { Store } from "../../kube/store.ts";
import type { KubeObject } from "../../kube/types.ts";
import { type IndexInputs, newInputs } from "../inputs.ts";

/** The objects that routing reads: those of the ambient index (the same stores) and these. */
export interface RoutingInputs extends IndexInputs {
  readonly httpRoutes: Store<KubeObject>;
  readonly grpcRoutes: Store<KubeObject>;
  /** Read only so that their status says that they are not supported. */
  readonly tcpRoutes: Store<KubeObject>;
  readonly tlsRoutes: Store<KubeObject>;
  readonly udpRoutes: Store<KubeObject>;
  /** These, too (statuses/unsupported.ts). */
  readonly backendTlsPolicies: Store<KubeObject>;
  readonly requestAuthentications: Store<KubeObject>;
  readonly telemetries: Store<KubeObject>;
  readonly envoyFilters: Store<KubeObject>;
  readonly wasmPlugins: Store<KubeObject>;
  readonly trafficExtensions: Store<KubeObject>;
  readonly proxyConfigs: Store<KubeObject>;
  readonly sidecars: Store<KubeObject>;
  readonly workloadGroups: Store<KubeObject>;
  readonly listenerSets: Store<KubeObject>;
  readonly referenceGrants: Store<KubeObject>;
  /** `networking.istio.io` Gateways. */
  readonly istioGateways: Store<KubeObject>;
  readonly virtualServices: Store<KubeObject>;
  readonly destinationRules: Store<KubeObject>;
  /** Only those that gateways may need: of type `kubernetes.io/tls`, or with the keys `tls.crt`, `cert`, `ca.crt` or `cacert`. */
  readonly secrets: Store<KubeObject>;
  /** For `caCertificateRefs`. */
  readonly configMaps: Store<KubeObject>;
}

/** Empty inputs. */
export function newRoutingInputs(): RoutingInputs {
  return {
    ...newInputs(),
    httpRoutes: new Store(),
    grpcRoutes: new Store(),
    tcpRoutes: new Store(),
    tlsRoutes: new Store(),
    udpRoutes: new Store(),
    backendTlsPolicies: new Store(),
    requestAuthentications: new Store(),
    telemetries: new Store(),
    envoyFilters: new Store(),
    wasmPlugins: new Store(),
    trafficExtensions: new Store(),
    proxyConfigs: new Store(),
    sidecars: new Store(),
    workloadGroups: new Store(),
    listenerSets: new Store(),
    referenceGrants: new Store(),
    istioGateways: new Store(),
    virtualServices: new Store(),
    destinationRules: new Store(),
    secrets: new Store(),
    configMaps: new Store(),
  };
}
