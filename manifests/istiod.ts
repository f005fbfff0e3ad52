import { stringify } from "yaml";
import { istiodRoles } from "./rbac.ts";
import {
  commonLabels,
  env,
  fieldEnv,
  image,
  type InstallValues,
  type Manifest,
  mergeEnv,
  revisioned,
  revisionLabel,
} from "./values.ts";

/** Component istiod (`pilot`): the control plane with its accounts, roles, mesh configuration and Service. */
export function istiod(values: InstallValues): Manifest[] {
  const account = revisioned("istiod", values);
  const labels = commonLabels("Pilot", "istiod", values);
  return [
    {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: account, namespace: values.namespace, labels: { app: "istiod", ...labels } },
      ...(values.pilot.imagePullSecrets ? { imagePullSecrets: values.pilot.imagePullSecrets } : {}),
    },
    ...istiodRoles(values, account),
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: revisioned("istio", values), namespace: values.namespace, labels },
      data: { mesh: stringify(meshConfig(values)), meshNetworks: "networks: {}\n" },
    },
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        name: revisioned("values", values),
        namespace: values.namespace,
        labels: { "istio.io/rev": revisionLabel(values), ...labels },
      },
      data: { "merged-values": JSON.stringify(values, null, 2) },
    },
    ...(values.pilot.replicaCount !== undefined && values.pilot.replicaCount > 1 ? [disruptionBudget(values)] : []),
    service(values),
    deployment(values),
    ...(values.pilot.replicaCount === undefined ? [autoscaler(values)] : []),
  ];
}

function meshConfig(values: InstallValues): Record<string, any> {
  const defaults = {
    defaultConfig: {
      discoveryAddress: `${revisioned("istiod", values)}.${values.namespace}.svc:15012`,
      ...(values.ambient ? { proxyMetadata: { ISTIO_META_ENABLE_HBONE: "true" } } : {}),
    },
    defaultProviders: { metrics: ["prometheus"] },
    enablePrometheusMerge: true,
    rootNamespace: values.namespace,
    ...(values.ambient
      ? {
        serviceScopeConfigs: [{
          scope: "GLOBAL",
          servicesSelector: { matchExpressions: [{ key: "istio.io/global", operator: "In", values: ["true"] }] },
        }],
      }
      : {}),
    trustDomain: values.trustDomain,
  };
  return merged(defaults, values.meshConfig);
}

function merged(base: Record<string, any>, over: Record<string, any>): Record<string, any> {
  const result = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const both = [result[key], value].every((side) =>
      typeof side === "object" && side !== null && !Array.isArray(side)
    );
    result[key] = both ? merged(result[key], value) : value;
  }
  return result;
}

/** What selects istiod's pods. */
function selector(values: InstallValues): Record<string, string> {
  return values.revision === ""
    ? { app: "istiod", istio: "pilot" }
    : { app: "istiod", "istio.io/rev": values.revision };
}

function service(values: InstallValues): Manifest {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: revisioned("istiod", values),
      namespace: values.namespace,
      labels: { app: "istiod", istio: "pilot", ...commonLabels("Pilot", "istiod", values) },
    },
    spec: {
      ports: [
        { name: "grpc-xds", port: 15010, protocol: "TCP" },
        { name: "https-dns", port: 15012, protocol: "TCP" },
        { name: "https-webhook", port: 443, protocol: "TCP", targetPort: 15017 },
        { name: "http-monitoring", port: 15014, protocol: "TCP" },
      ],
      selector: selector(values),
    },
  };
}

function deployment(values: InstallValues): Manifest {
  const { pilot } = values;
  const name = revisioned("istiod", values);
  const labels = commonLabels("Pilot", "istiod", values);
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: {
      name,
      namespace: values.namespace,
      labels: { app: "istiod", istio: values.revision === "" ? "pilot" : "istiod", ...labels },
    },
    spec: {
      ...(pilot.replicaCount === undefined ? {} : { replicas: pilot.replicaCount }),
      strategy: pilot.strategy ?? { rollingUpdate: { maxSurge: "100%", maxUnavailable: "25%" } },
      selector: { matchLabels: selector(values) },
      template: {
        metadata: {
          labels: {
            app: "istiod",
            istio: values.revision === "" ? "pilot" : "istiod",
            ...labels,
            "sidecar.istio.io/inject": "false",
            "istio.io/dataplane-mode": "none",
            ...pilot.podLabels,
          },
          annotations: {
            "prometheus.io/port": "15014",
            "prometheus.io/scrape": "true",
            "sidecar.istio.io/inject": "false",
            ...pilot.podAnnotations,
          },
        },
        spec: {
          serviceAccountName: name,
          ...(pilot.priorityClassName ? { priorityClassName: pilot.priorityClassName } : {}),
          ...(pilot.nodeSelector ? { nodeSelector: pilot.nodeSelector } : {}),
          ...(pilot.affinity ? { affinity: pilot.affinity } : {}),
          tolerations: [{ key: "cni.istio.io/not-ready", operator: "Exists" }, ...(pilot.tolerations ?? [])],
          containers: [discovery(values)],
          volumes: volumes(),
        },
      },
    },
  };
}

function discovery(values: InstallValues): Record<string, any> {
  const { pilot } = values;
  return {
    name: "discovery",
    image: image(values),
    ...(pilot.imagePullPolicy ? { imagePullPolicy: pilot.imagePullPolicy } : {}),
    args: [
      "istiod",
      `--monitoringAddr=:15014`,
      `--log_output_level=default:${values.logLevel}`,
      ...(values.logAsJson ? ["--log_as_json"] : []),
      "--domain",
      values.clusterDomain,
      "--keepaliveMaxServerConnectionAge",
      "30m",
    ],
    ports: [
      { containerPort: 8080, protocol: "TCP", name: "http-debug" },
      { containerPort: 15010, protocol: "TCP", name: "grpc-xds" },
      { containerPort: 15012, protocol: "TCP", name: "tls-xds" },
      { containerPort: 15017, protocol: "TCP", name: "https-webhooks" },
      { containerPort: 15014, protocol: "TCP", name: "http-monitoring" },
    ],
    readinessProbe: {
      httpGet: { path: "/ready", port: 8080 },
      initialDelaySeconds: 1,
      periodSeconds: 3,
      timeoutSeconds: 5,
    },
    env: mergeEnv(
      [
        { name: "REVISION", value: revisionLabel(values) },
        { name: "PILOT_CERT_PROVIDER", value: "istiod" },
        fieldEnv("POD_NAME", "metadata.name"),
        fieldEnv("POD_NAMESPACE", "metadata.namespace"),
        fieldEnv("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        ...env({
          CA_TRUSTED_NODE_ACCOUNTS: `${values.namespace}/ztunnel`,
          PILOT_TRACE_SAMPLING: String(pilot.traceSampling),
          PILOT_ENABLE_ANALYSIS: "false",
          CLUSTER_ID: values.clusterId,
          PLATFORM: values.platform,
          ...(values.ambient ? { PILOT_ENABLE_AMBIENT: "true" } : {}),
        }),
      ],
      env(pilot.extraEnv),
      pilot.env ?? [],
    ),
    resources: pilot.resources ?? { requests: { cpu: "500m", memory: "2048Mi" } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      capabilities: { drop: ["ALL"] },
    },
    volumeMounts: [
      { name: "istio-token", mountPath: "/var/run/secrets/tokens", readOnly: true },
      { name: "local-certs", mountPath: "/var/run/secrets/istio-dns" },
      { name: "cacerts", mountPath: "/etc/cacerts", readOnly: true },
      { name: "istio-kubeconfig", mountPath: "/var/run/secrets/remote", readOnly: true },
      { name: "istio-csr-dns-cert", mountPath: "/var/run/secrets/istiod/tls", readOnly: true },
      { name: "istio-csr-ca-configmap", mountPath: "/var/run/secrets/istiod/ca", readOnly: true },
    ],
  };
}

function volumes(): Record<string, any>[] {
  return [
    { name: "local-certs", emptyDir: { medium: "Memory" } },
    {
      name: "istio-token",
      projected: {
        sources: [{ serviceAccountToken: { audience: "istio-ca", expirationSeconds: 43200, path: "istio-token" } }],
      },
    },
    // A CA that the user brings; see reference of `cacerts` in Istio's documentation.
    { name: "cacerts", secret: { secretName: "cacerts", optional: true } },
    { name: "istio-kubeconfig", secret: { secretName: "istio-kubeconfig", optional: true } },
    { name: "istio-csr-dns-cert", secret: { secretName: "istiod-tls", optional: true } },
    { name: "istio-csr-ca-configmap", configMap: { name: "istio-ca-root-cert", defaultMode: 420, optional: true } },
  ];
}

function autoscaler(values: InstallValues): Manifest {
  const name = revisioned("istiod", values);
  return {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: {
      name,
      namespace: values.namespace,
      labels: { app: "istiod", ...commonLabels("Pilot", "istiod", values) },
    },
    spec: {
      minReplicas: values.pilot.autoscaleMin,
      maxReplicas: values.pilot.autoscaleMax,
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name },
      metrics: [{
        type: "Resource",
        resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } },
      }],
    },
  };
}

function disruptionBudget(values: InstallValues): Manifest {
  return {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: {
      name: revisioned("istiod", values),
      namespace: values.namespace,
      labels: { app: "istiod", istio: "pilot", ...commonLabels("Pilot", "istiod", values) },
    },
    spec: { minAvailable: 1, selector: { matchLabels: selector(values) } },
  };
}
