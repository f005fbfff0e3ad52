import {
  commonLabels,
  criticalPodsQuota,
  env,
  fieldEnv,
  image,
  type InstallValues,
  type Manifest,
  mergeEnv,
  revisioned,
} from "./values.ts";

/** Component ztunnel: the proxy of every node. */
export function ztunnel(values: InstallValues): Manifest[] {
  const { ztunnel: settings } = values;
  const labels = { app: "ztunnel", ...commonLabels("Ztunnel", "ztunnel", values) };
  return [
    {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "ztunnel", namespace: values.namespace, labels },
      ...(settings.imagePullSecrets ? { imagePullSecrets: settings.imagePullSecrets } : {}),
    },
    ...criticalPodsQuota("Ztunnel", "ztunnel", values),
    {
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      metadata: { name: "ztunnel", namespace: values.namespace, labels },
      spec: {
        // The new proxy takes over a node's pods before the old one drains.
        updateStrategy: settings.strategy ??
          { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        selector: { matchLabels: { app: "ztunnel" } },
        template: {
          metadata: {
            labels: {
              ...labels,
              "sidecar.istio.io/inject": "false",
              "istio.io/dataplane-mode": "none",
              ...settings.podLabels,
            },
            annotations: {
              "sidecar.istio.io/inject": "false",
              "prometheus.io/port": "15020",
              "prometheus.io/scrape": "true",
              ...settings.podAnnotations,
            },
          },
          spec: {
            nodeSelector: settings.nodeSelector ?? { "kubernetes.io/os": "linux" },
            ...(settings.affinity ? { affinity: settings.affinity } : {}),
            serviceAccountName: "ztunnel",
            priorityClassName: settings.priorityClassName ?? "system-node-critical",
            terminationGracePeriodSeconds: settings.terminationGracePeriodSeconds,
            tolerations: settings.tolerations ?? [
              { effect: "NoSchedule", operator: "Exists" },
              { key: "CriticalAddonsOnly", operator: "Exists" },
              { effect: "NoExecute", operator: "Exists" },
            ],
            containers: [proxy(values)],
            volumes: [
              {
                name: "istio-token",
                projected: {
                  sources: [{
                    serviceAccountToken: { path: "istio-token", expirationSeconds: 43200, audience: "istio-ca" },
                  }],
                },
              },
              { name: "istiod-ca-cert", configMap: { name: "istio-ca-root-cert" } },
              { name: "cni-ztunnel-sock-dir", hostPath: { path: "/var/run/ztunnel", type: "DirectoryOrCreate" } },
              { name: "tmp", emptyDir: {} },
            ],
          },
        },
      },
    },
  ];
}

function proxy(values: InstallValues): Record<string, any> {
  const { ztunnel: settings } = values;
  const control = `${revisioned("istiod", values)}.${values.namespace}.svc:15012`;
  return {
    name: "istio-proxy",
    image: image(values),
    ...(settings.imagePullPolicy ? { imagePullPolicy: settings.imagePullPolicy } : {}),
    args: ["ztunnel"],
    ports: [{ containerPort: 15020, name: "ztunnel-stats", protocol: "TCP" }],
    resources: settings.resources ?? { requests: { cpu: "200m", memory: "512Mi" } },
    securityContext: {
      // Root with few capabilities: entering pods' network namespaces needs SYS_ADMIN, their sockets NET_ADMIN and NET_RAW.
      allowPrivilegeEscalation: true,
      privileged: false,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "SYS_ADMIN", "NET_RAW"] },
      readOnlyRootFilesystem: true,
      runAsGroup: 1337,
      runAsNonRoot: false,
      runAsUser: 0,
    },
    readinessProbe: { httpGet: { port: 15021, path: "/healthz/ready" } },
    env: mergeEnv(
      [
        ...env({
          CA_ADDRESS: settings.caAddress || control,
          XDS_ADDRESS: settings.xdsAddress || control,
          RUST_LOG: values.logLevel,
          LOG_FORMAT: values.logAsJson ? "json" : "plain",
          RUST_BACKTRACE: "1",
          ISTIO_META_CLUSTER_ID: values.clusterId,
          ...(values.network === "" ? {} : { NETWORK: values.network, ISTIO_META_NETWORK: values.network }),
          ...(values.clusterDomain === "cluster.local" ? {} : { CLUSTER_DOMAIN: values.clusterDomain }),
          INPOD_ENABLED: "true",
          TERMINATION_GRACE_PERIOD_SECONDS: String(settings.terminationGracePeriodSeconds),
        }),
        fieldEnv("POD_NAME", "metadata.name"),
        fieldEnv("POD_NAMESPACE", "metadata.namespace"),
        fieldEnv("NODE_NAME", "spec.nodeName"),
        fieldEnv("INSTANCE_IP", "status.podIP"),
        fieldEnv("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        ...env({
          ISTIO_META_ENABLE_HBONE: "true",
          // A larger nursery of the JavaScript heap buys no speed here and costs up to 60 MB after a burst of connections.
          DENO_V8_FLAGS: "--max-semi-space-size=2",
        }),
      ],
      env(settings.extraEnv),
      settings.env ?? [],
    ),
    volumeMounts: [
      { mountPath: "/var/run/secrets/istio", name: "istiod-ca-cert" },
      { mountPath: "/var/run/secrets/tokens", name: "istio-token" },
      { mountPath: "/var/run/ztunnel", name: "cni-ztunnel-sock-dir" },
      { mountPath: "/tmp", name: "tmp" },
    ],
  };
}
