import {
  commonLabels,
  type Component,
  env,
  fieldEnv,
  type GatewaySettings,
  image,
  type InstallValues,
  type Manifest,
  mergeEnv,
  revisioned,
  revisionLabel,
} from "./values.ts";

/** Which way a gateway's traffic goes. */
type Direction = "ingress" | "egress";

const COMPONENT: Record<Direction, Component> = { ingress: "IngressGateways", egress: "EgressGateways" };

/** Component ingressGateways: the classic gateways that Istio's `Gateway` objects select by label. */
export function ingressGateways(values: InstallValues): Manifest[] {
  return values.ingressGateways.flatMap((settings) => gateway("ingress", settings, values));
}

/** Component egressGateways. */
export function egressGateways(values: InstallValues): Manifest[] {
  return values.egressGateways.flatMap((settings) => gateway("egress", settings, values));
}

/** Ports of a gateway's Service: the pod's own ports need no privilege. */
const HTTP_PORTS = [
  { name: "http2", port: 80, protocol: "TCP", targetPort: 8080 },
  { name: "https", port: 443, protocol: "TCP", targetPort: 8443 },
];
const STATUS_PORT = { name: "status-port", port: 15021, protocol: "TCP", targetPort: 15021 };

function gateway(direction: Direction, settings: GatewaySettings, values: InstallValues): Manifest[] {
  const { name, namespace } = settings;
  const component = COMPONENT[direction];
  const own = { app: name, istio: `${direction}gateway`, ...settings.labels };
  const labels = { ...own, ...commonLabels(component, name, values) };
  const account = `${name}-service-account`;
  return [
    {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: account, namespace, labels },
      ...(settings.imagePullSecrets ? { imagePullSecrets: settings.imagePullSecrets } : {}),
    },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "Role",
      metadata: { name: `${name}-sds`, namespace, labels },
      rules: [{ apiGroups: [""], resources: ["secrets"], verbs: ["get", "watch", "list"] }],
    },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name: `${name}-sds`, namespace, labels },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: `${name}-sds` },
      subjects: [{ kind: "ServiceAccount", name: account, namespace }],
    },
    service(direction, settings, own, labels),
    deployment(settings, own, labels, account, values),
    ...(settings.replicaCount === undefined ? [autoscaler(settings, labels)] : []),
    ...((settings.replicaCount ?? 1) > 1 ? [disruptionBudget(settings, own, labels)] : []),
  ];
}

function service(
  direction: Direction,
  { name, namespace, service, serviceAnnotations }: GatewaySettings,
  own: Record<string, string>,
  labels: Record<string, string>,
): Manifest {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace, labels, annotations: serviceAnnotations ?? {} },
    spec: {
      type: direction === "ingress" ? "LoadBalancer" : "ClusterIP",
      selector: own,
      ports: direction === "ingress" ? [STATUS_PORT, ...HTTP_PORTS] : HTTP_PORTS,
      ...service,
    },
  };
}

function deployment(
  settings: GatewaySettings,
  own: Record<string, string>,
  labels: Record<string, string>,
  account: string,
  values: InstallValues,
): Manifest {
  const { name, namespace } = settings;
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace, labels },
    spec: {
      ...(settings.replicaCount === undefined ? {} : { replicas: settings.replicaCount }),
      selector: { matchLabels: own },
      // A new gateway serves before an old one drains.
      strategy: settings.strategy ?? { rollingUpdate: { maxSurge: "100%", maxUnavailable: "25%" } },
      template: {
        metadata: {
          labels: {
            ...labels,
            "service.istio.io/canonical-name": name,
            "service.istio.io/canonical-revision": "latest",
            "sidecar.istio.io/inject": "false",
            "istio.io/dataplane-mode": "none",
            ...settings.podLabels,
          },
          annotations: {
            "istio.io/rev": revisionLabel(values),
            "prometheus.io/path": "/stats/prometheus",
            "prometheus.io/port": "15020",
            "prometheus.io/scrape": "true",
            "sidecar.istio.io/inject": "false",
            ...settings.podAnnotations,
          },
        },
        spec: {
          serviceAccountName: account,
          securityContext: settings.securityContext ?? {
            fsGroup: 1337,
            runAsGroup: 1337,
            runAsNonRoot: true,
            runAsUser: 1337,
          },
          ...(settings.priorityClassName ? { priorityClassName: settings.priorityClassName } : {}),
          ...(settings.nodeSelector ? { nodeSelector: settings.nodeSelector } : {}),
          ...(settings.affinity ? { affinity: settings.affinity } : {}),
          ...(settings.tolerations ? { tolerations: settings.tolerations } : {}),
          containers: [proxy(settings, values)],
          volumes: [
            { name: "istiod-ca-cert", configMap: { name: "istio-ca-root-cert" } },
            {
              name: "istio-token",
              projected: {
                sources: [{
                  serviceAccountToken: { path: "istio-token", expirationSeconds: 43200, audience: "istio-ca" },
                }],
              },
            },
            {
              name: "podinfo",
              downwardAPI: {
                items: [
                  { path: "labels", fieldRef: { fieldPath: "metadata.labels" } },
                  { path: "annotations", fieldRef: { fieldPath: "metadata.annotations" } },
                ],
              },
            },
            { name: "tmp", emptyDir: {} },
            ...(settings.volumes ?? []),
          ],
        },
      },
    },
  };
}

function proxy(settings: GatewaySettings, values: InstallValues): Record<string, any> {
  const { name, namespace } = settings;
  const control = `${revisioned("istiod", values)}.${values.namespace}.svc:15012`;
  return {
    name: "istio-proxy",
    image: image(values),
    ...(settings.imagePullPolicy ? { imagePullPolicy: settings.imagePullPolicy } : {}),
    args: [
      "waypoint",
      "router",
      "--domain",
      `$(POD_NAMESPACE).svc.${values.clusterDomain}`,
      `--log_output_level=default:${values.logLevel}`,
      ...(values.logAsJson ? ["--log_as_json"] : []),
    ],
    ports: [
      { containerPort: 15021, protocol: "TCP", name: "status-port" },
      { containerPort: 8080, protocol: "TCP", name: "http2" },
      { containerPort: 8443, protocol: "TCP", name: "https" },
      { containerPort: 15090, protocol: "TCP", name: "http-envoy-prom" },
    ],
    readinessProbe: {
      httpGet: { path: "/healthz/ready", port: 15021, scheme: "HTTP" },
      initialDelaySeconds: 1,
      periodSeconds: 2,
      timeoutSeconds: 1,
      successThreshold: 1,
      failureThreshold: 30,
    },
    resources: settings.resources ?? {
      limits: { cpu: "2000m", memory: "1024Mi" },
      requests: { cpu: "100m", memory: "128Mi" },
    },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      privileged: false,
      readOnlyRootFilesystem: true,
    },
    env: mergeEnv(
      [
        ...env({ CA_ADDR: control, XDS_ADDRESS: control, PILOT_CERT_PROVIDER: "istiod" }),
        fieldEnv("NODE_NAME", "spec.nodeName"),
        fieldEnv("POD_NAME", "metadata.name"),
        fieldEnv("POD_NAMESPACE", "metadata.namespace"),
        fieldEnv("INSTANCE_IP", "status.podIP"),
        fieldEnv("HOST_IP", "status.hostIP"),
        fieldEnv("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        ...env({
          TRUST_DOMAIN: values.trustDomain,
          ISTIO_META_CLUSTER_ID: values.clusterId,
          ISTIO_META_WORKLOAD_NAME: name,
          ISTIO_META_OWNER: `kubernetes://apis/apps/v1/namespaces/${namespace}/deployments/${name}`,
          ISTIO_META_MESH_ID: values.meshConfig.defaultConfig?.meshId ?? values.trustDomain,
          ISTIO_META_UNPRIVILEGED_POD: "true",
          // A larger nursery of the JavaScript heap buys no speed and costs up to 100 MB under load; a smaller one lets garbage grow old.
          DENO_V8_FLAGS: "--max-semi-space-size=4",
          ...(values.network === "" ? {} : { ISTIO_META_NETWORK: values.network }),
        }),
        fieldEnv("ISTIO_META_NODE_NAME", "spec.nodeName"),
      ],
      settings.env ?? [],
    ),
    volumeMounts: [
      { name: "istiod-ca-cert", mountPath: "/var/run/secrets/istio" },
      { name: "istio-token", mountPath: "/var/run/secrets/tokens", readOnly: true },
      { name: "podinfo", mountPath: "/etc/istio/pod" },
      { name: "tmp", mountPath: "/tmp" },
      ...(settings.volumeMounts ?? []),
    ],
  };
}

function autoscaler({ name, namespace, hpaSpec }: GatewaySettings, labels: Record<string, string>): Manifest {
  return {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name, namespace, labels },
    spec: {
      minReplicas: 1,
      maxReplicas: 5,
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name },
      metrics: [{
        type: "Resource",
        resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } },
      }],
      ...hpaSpec,
    },
  };
}

function disruptionBudget(
  { name, namespace }: GatewaySettings,
  own: Record<string, string>,
  labels: Record<string, string>,
): Manifest {
  return {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name, namespace, labels },
    spec: { minAvailable: 1, selector: { matchLabels: own } },
  };
}
