import type { Labels } from "../labels.ts";

/** The proxy that a configuration is for: replicas of one deployment share it. */
export type ProxyTarget = WaypointTarget | GatewayTarget;

export interface WaypointTarget {
  readonly kind: "waypoint";
  readonly namespace: string;
  /** Name of the Gateway (class `istio-waypoint`). */
  readonly gateway: string;
}

export interface GatewayTarget {
  readonly kind: "gateway";
  readonly namespace: string;
  /** Name of the Gateway that the pod was deployed for (its label `gateway.networking.k8s.io/gateway-name`); none for classic gateways. */
  readonly gateway?: string;
  /** Of the pod: what `selector`s of Istio Gateways, policies and Services are compared with. */
  readonly labels: Labels;
  readonly serviceAccount: string;
}

/** One text for each target, as long as the labels do not change. */
export function targetKey(target: ProxyTarget): string {
  const { kind, namespace, gateway = "" } = target;
  if (target.kind === "waypoint") return `${kind}/${namespace}/${gateway}`;
  const labels = Object.entries(target.labels).filter(([key]) => !PER_REPLICA.has(key)).map((pair) => pair.join("="))
    .sort();
  return `${kind}/${namespace}/${gateway}/${target.serviceAccount}/${labels.join(",")}`;
}

const PER_REPLICA: ReadonlySet<string> = new Set(["pod-template-hash", "controller-revision-hash"]);

/** What only the deployer knows of a Gateway of the Gateway API. */
export interface GatewayFacts {
  /** Host names of its Services, for messages: `web-istio.default.svc.cluster.local`. */
  readonly services: readonly string[];
  /** Addresses to report: of the load balancer, or the cluster's. */
  readonly addresses: readonly { readonly type: "IPAddress" | "Hostname"; readonly value: string }[];
  /** Why it is not programmed: the reason and message of the condition. Without: programmed when there is an address. */
  readonly problem?: { readonly reason: string; readonly message: string };
  /** `Accepted` is False for this reason: invalid `parametersRef`, say. */
  readonly refused?: { readonly reason: string; readonly message: string };
}

/** By `namespace/name` of the Gateway; undefined: nothing is deployed (yet). */
export type GatewayFactsOf = (gateway: string) => GatewayFacts | undefined;
