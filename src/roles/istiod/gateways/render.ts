// The objects of one managed Gateway, as Istio's templates `kube-gateway` and `waypoint` have them. Pure.

import { labelsOf, objectOf } from "../../../index/read.ts";
import type { KubeObject } from "../../../kube/mod.ts";
import { addressesOf, ANNOTATION, type GatewayClassTraits, LABEL, listenersOf, namesOf } from "./names.ts";
import { strategicMerge } from "./merge.ts";

/** What the templates need to know of the mesh. */
export interface RenderSettings {
  /** Image of the proxies. */
  readonly image: string;
  readonly imagePullPolicy?: string;
  readonly imagePullSecrets?: readonly string[];
  readonly revision: string;
  /** `istiod.istio-system.svc:15012`. */
  readonly controlPlane: string;
  readonly clusterId: string;
  readonly network: string;
  readonly domain: string;
  readonly trustDomain: string;
  readonly meshId: string;
}

/** Parts that a user lays over the templates, parsed. */
export interface Overlay {
  readonly deployment?: Record<string, any>;
  readonly service?: Record<string, any>;
  readonly serviceAccount?: Record<string, any>;
  readonly horizontalPodAutoscaler?: Record<string, any>;
  readonly podDisruptionBudget?: Record<string, any>;
}

/** In the order they are applied. */
export interface GatewayObjects {
  readonly serviceAccount: KubeObject;
  readonly deployment: KubeObject;
  readonly service: KubeObject;
  readonly horizontalPodAutoscaler?: KubeObject;
  readonly podDisruptionBudget?: KubeObject;
}

const NOT_COPIED: ReadonlySet<string> = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  ANNOTATION.nameOverride,
  ANNOTATION.serviceAccount,
  ANNOTATION.controllerVersion,
]);

type Words = Readonly<Record<string, string>>;

export function renderGateway(
  gateway: KubeObject,
  traits: GatewayClassTraits,
  settings: RenderSettings,
  overlays: readonly Overlay[] = [],
): GatewayObjects {
  const names = namesOf(gateway, traits), { namespace } = gateway.metadata;
  const infrastructure = objectOf(gateway.spec.infrastructure);
  const annotations: Words = Object.fromEntries(
    Object.entries(labelsOf(infrastructure.annotations ?? gateway.metadata.annotations)).filter(([key]) =>
      !NOT_COPIED.has(key)
    ),
  );
  const labels: Words = {
    ...(traits.proxy === "waypoint" && settings.network !== ""
      ? { "topology.istio.io/network": settings.network }
      : {}),
    ...labelsOf(infrastructure.labels ?? gateway.metadata.labels),
    [LABEL.gatewayName]: gateway.metadata.name,
    [LABEL.gatewayClass]: gateway.spec.gatewayClassName,
    [LABEL.managed]: traits.managed,
  };
  const ownerReferences = [{
    apiVersion: gateway.apiVersion ?? "gateway.networking.k8s.io/v1beta1",
    kind: "Gateway",
    name: gateway.metadata.name,
    uid: gateway.metadata.uid ?? "",
  }];
  const metadata = (name: string, more: Words = {}) => ({
    name,
    namespace,
    annotations: { ...annotations, ...more },
    labels,
    ownerReferences,
  });
  const laid = (part: keyof Overlay, object: KubeObject): KubeObject =>
    overlays.reduce((base, overlay) => overlay[part] ? keep(base, strategicMerge(base, overlay[part])) : base, object);
  const given = (part: keyof Overlay) => overlays.some((overlay) => overlay[part] !== undefined);
  return {
    serviceAccount: laid("serviceAccount", {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: metadata(names.serviceAccount),
    }),
    deployment: laid("deployment", {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: metadata(names.name),
      spec: deploymentSpec(gateway, traits, settings, { names, labels, annotations }),
    }),
    service: laid("service", {
      apiVersion: "v1",
      kind: "Service",
      metadata: metadata(
        names.name,
        traits.proxy === "waypoint" ? { "networking.istio.io/traffic-distribution": "PreferClose" } : {},
      ),
      spec: serviceSpec(gateway, traits),
    }),
    ...(given("horizontalPodAutoscaler")
      ? {
        horizontalPodAutoscaler: laid("horizontalPodAutoscaler", {
          apiVersion: "autoscaling/v2",
          kind: "HorizontalPodAutoscaler",
          metadata: metadata(names.name),
          spec: { maxReplicas: 1, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: names.name } },
        }),
      }
      : {}),
    ...(given("podDisruptionBudget")
      ? {
        podDisruptionBudget: laid("podDisruptionBudget", {
          apiVersion: "policy/v1",
          kind: "PodDisruptionBudget",
          metadata: metadata(names.name),
          spec: { selector: { matchLabels: { [LABEL.gatewayName]: gateway.metadata.name } } },
        }),
      }
      : {}),
  };
}

/** An overlay shapes an object; it does not make another of it. */
function keep(base: KubeObject, merged: Record<string, any>): KubeObject {
  const { apiVersion, kind, metadata: { name, namespace, ownerReferences } } = base;
  return {
    ...merged,
    apiVersion,
    kind,
    metadata: {
      ...merged.metadata,
      name,
      namespace,
      ownerReferences,
      labels: { ...merged.metadata?.labels, [LABEL.managed]: base.metadata.labels?.[LABEL.managed] },
    },
  };
}

function serviceSpec(gateway: KubeObject, traits: GatewayClassTraits): Record<string, unknown> {
  const type = gateway.metadata.annotations?.[ANNOTATION.serviceType] || traits.serviceType;
  const [address] = addressesOf(gateway);
  return {
    type,
    ipFamilyPolicy: "PreferDualStack",
    ...(address?.value && type === "LoadBalancer" ? { loadBalancerIP: address.value } : {}),
    ports: [{ name: "status-port", port: 15021, protocol: "TCP", appProtocol: "tcp" }, ...listenerPorts(gateway)],
    selector: { [LABEL.gatewayName]: gateway.metadata.name },
  };
}

function listenerPorts(gateway: KubeObject): Record<string, unknown>[] {
  const seen = new Set<number>([15021]), names = new Set<string>(["status-port"]);
  const ports: Record<string, unknown>[] = [];
  listenersOf(gateway).forEach(({ name, port, protocol }, i) => {
    if (seen.has(port)) return;
    seen.add(port);
    let label = name.replaceAll(".", "-").slice(0, 63).replace(/^-+|-+$/g, "");
    if (label === "" || names.has(label)) label = `${protocol.toLowerCase().replace(/[^a-z0-9]+/g, "-")}-${i}`;
    names.add(label);
    // A domain's own protocols (`example.com/bar`) keep the form that Kubernetes wants; all others are one word.
    ports.push({ name: label, port, protocol: "TCP", appProtocol: protocol.toLowerCase() });
  });
  return ports;
}

function deploymentSpec(
  gateway: KubeObject,
  traits: GatewayClassTraits,
  settings: RenderSettings,
  { names, labels, annotations }: {
    names: { name: string; serviceAccount: string };
    labels: Words;
    annotations: Words;
  },
): Record<string, unknown> {
  const waypoint = traits.proxy === "waypoint";
  return {
    selector: { matchLabels: { [LABEL.gatewayName]: gateway.metadata.name } },
    // A new proxy serves before an old one drains.
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    template: {
      metadata: {
        annotations: {
          ...annotations,
          "istio.io/rev": settings.revision,
          "prometheus.io/path": "/stats/prometheus",
          "prometheus.io/port": "15020",
          "prometheus.io/scrape": "true",
        },
        labels: {
          "sidecar.istio.io/inject": "false",
          // It speaks HBONE itself: in an ambient namespace its own connections must not be captured.
          "istio.io/dataplane-mode": "none",
          "service.istio.io/canonical-name": names.name,
          "service.istio.io/canonical-revision": "latest",
          ...labels,
        },
      },
      spec: {
        serviceAccountName: names.serviceAccount,
        securityContext: waypoint ? {} : {
          // Gateways bind the listeners' own ports.
          sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }],
        },
        ...(settings.imagePullSecrets?.length
          ? { imagePullSecrets: settings.imagePullSecrets.map((name) => ({ name })) }
          : {}),
        containers: [proxy(gateway, traits, settings, names.name)],
        volumes: [
          { name: "istiod-ca-cert", configMap: { name: "istio-ca-root-cert" } },
          {
            name: "istio-token",
            projected: {
              sources: [{
                serviceAccountToken: { audience: "istio-ca", expirationSeconds: 43200, path: "istio-token" },
              }],
            },
          },
          {
            name: "istio-podinfo",
            downwardAPI: {
              items: [
                { path: "labels", fieldRef: { fieldPath: "metadata.labels" } },
                { path: "annotations", fieldRef: { fieldPath: "metadata.annotations" } },
              ],
            },
          },
          { name: "tmp", emptyDir: {} },
        ],
      },
    },
  };
}

function proxy(
  gateway: KubeObject,
  traits: GatewayClassTraits,
  settings: RenderSettings,
  name: string,
): Record<string, unknown> {
  const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  const value = (name: string, value: string) => ({ name, value });
  const ready = {
    httpGet: { path: "/healthz/ready", port: 15021, scheme: "HTTP" },
    successThreshold: 1,
    timeoutSeconds: 1,
  };
  const namespace = gateway.metadata.namespace ?? "";
  return {
    name: "istio-proxy",
    image: settings.image,
    ...(settings.imagePullPolicy ? { imagePullPolicy: settings.imagePullPolicy } : {}),
    args: ["waypoint", traits.proxy, "--domain", `$(POD_NAMESPACE).svc.${settings.domain}`],
    ports: [
      { containerPort: 15020, name: "metrics", protocol: "TCP" },
      { containerPort: 15021, name: "status-port", protocol: "TCP" },
      { containerPort: 15090, name: "http-envoy-prom", protocol: "TCP" },
    ],
    env: [
      value("CA_ADDR", settings.controlPlane),
      value("XDS_ADDRESS", settings.controlPlane),
      value("PILOT_CERT_PROVIDER", "istiod"),
      field("NODE_NAME", "spec.nodeName"),
      field("POD_NAME", "metadata.name"),
      field("POD_NAMESPACE", "metadata.namespace"),
      field("INSTANCE_IP", "status.podIP"),
      field("HOST_IP", "status.hostIP"),
      field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
      value("TRUST_DOMAIN", settings.trustDomain),
      value("ISTIO_META_CLUSTER_ID", settings.clusterId),
      value("ISTIO_META_WORKLOAD_NAME", name),
      value("ISTIO_META_OWNER", `kubernetes://apis/apps/v1/namespaces/${namespace}/deployments/${name}`),
      value("ISTIO_META_MESH_ID", settings.meshId),
      ...(settings.network === "" ? [] : [value("ISTIO_META_NETWORK", settings.network)]),
      field("ISTIO_META_NODE_NAME", "spec.nodeName"),
      // As in manifests/gateway.ts.
      value("DENO_V8_FLAGS", "--max-semi-space-size=4"),
    ],
    startupProbe: { ...ready, failureThreshold: 30, periodSeconds: 1 },
    readinessProbe: { ...ready, failureThreshold: 4, periodSeconds: 15 },
    resources: {
      limits: { cpu: "2", memory: "1Gi" },
      requests: { cpu: "100m", memory: "128Mi" },
    },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsGroup: 1337,
      runAsNonRoot: true,
      runAsUser: 1337,
    },
    volumeMounts: [
      { mountPath: "/var/run/secrets/istio", name: "istiod-ca-cert" },
      { mountPath: "/var/run/secrets/tokens", name: "istio-token", readOnly: true },
      { mountPath: "/etc/istio/pod", name: "istio-podinfo" },
      { mountPath: "/tmp", name: "tmp" },
    ],
  };
}
