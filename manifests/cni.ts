import { cniRoles } from "./rbac.ts";
import {
  commonLabels,
  criticalPodsQuota,
  env,
  fieldEnv,
  image,
  type InstallValues,
  type Manifest,
  mergeEnv,
} from "./values.ts";

/** Component cni: on every node, the agent that redirects pods' traffic. */
export function cni(values: InstallValues): Manifest[] {
  const { cni: settings } = values;
  const labels = { "k8s-app": "istio-cni-node", ...commonLabels("Cni", "istio-cni", values) };
  return [
    {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "istio-cni", namespace: values.namespace, labels: { app: "istio-cni", ...labels } },
      ...(settings.imagePullSecrets ? { imagePullSecrets: settings.imagePullSecrets } : {}),
    },
    ...cniRoles(values),
    ...criticalPodsQuota("Cni", "istio-cni", values),
    configMap(values),
    {
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      metadata: { name: "istio-cni-node", namespace: values.namespace, labels },
      spec: {
        selector: { matchLabels: { "k8s-app": "istio-cni-node" } },
        updateStrategy: settings.strategy ?? { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1 } },
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
              "prometheus.io/port": "15014",
              "prometheus.io/scrape": "true",
              "prometheus.io/path": "/metrics",
              "container.apparmor.security.beta.kubernetes.io/install-cni": "unconfined",
              ...settings.podAnnotations,
            },
          },
          spec: {
            ...(settings.shareHostNetworkNamespace ? { hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" } : {}),
            nodeSelector: settings.nodeSelector ?? { "kubernetes.io/os": "linux" },
            ...(settings.affinity ? { affinity: settings.affinity } : {}),
            tolerations: settings.tolerations ?? [
              // The agent has to be on every node, those that are not ready for others included.
              { effect: "NoSchedule", operator: "Exists" },
              { key: "CriticalAddonsOnly", operator: "Exists" },
              { effect: "NoExecute", operator: "Exists" },
            ],
            priorityClassName: settings.priorityClassName ?? "system-node-critical",
            serviceAccountName: "istio-cni",
            // When the mesh is removed the agent takes its rules out of every pod before it ends.
            terminationGracePeriodSeconds: 60,
            containers: [agent(values)],
            volumes: volumes(values),
          },
        },
      },
    },
  ];
}

/** The agent's settings, as its environment. */
function configMap(values: InstallValues): Manifest {
  const { cni: settings } = values;
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: "istio-cni-config",
      namespace: values.namespace,
      labels: { app: "istio-cni", ...commonLabels("Cni", "istio-cni", values) },
    },
    data: {
      CURRENT_AGENT_VERSION: values.tag,
      AMBIENT_ENABLED: String(values.ambient),
      AMBIENT_ENABLEMENT_SELECTOR: JSON.stringify([
        { podSelector: { matchLabels: { "istio.io/dataplane-mode": "ambient" } } },
        {
          podSelector: {
            matchExpressions: [{ key: "istio.io/dataplane-mode", operator: "NotIn", values: ["none"] }],
          },
          namespaceSelector: { matchLabels: { "istio.io/dataplane-mode": "ambient" } },
        },
      ]),
      AMBIENT_DNS_CAPTURE: String(settings.dnsCapture),
      AMBIENT_IPV6: String(settings.ipv6),
      AMBIENT_RECONCILE_POD_RULES_ON_STARTUP: String(settings.reconcileOnStartup),
      CHAINED_CNI_PLUGIN: String(settings.chained),
      ...(settings.confFileName === "" ? {} : { CNI_CONF_NAME: settings.confFileName }),
      EXCLUDE_NAMESPACES: settings.excludeNamespaces.join(","),
      NATIVE_NFTABLES: String(values.nativeNftables),
      REPAIR_ENABLED: "true",
      REPAIR_LABEL_PODS: "false",
      REPAIR_DELETE_PODS: "false",
      REPAIR_REPAIR_PODS: "true",
      REPAIR_INIT_CONTAINER_NAME: "istio-validation",
      REPAIR_BROKEN_POD_LABEL_KEY: "cni.istio.io/uninitialized",
      REPAIR_BROKEN_POD_LABEL_VALUE: "true",
    },
  };
}

function agent(values: InstallValues): Record<string, any> {
  const { cni: settings } = values;
  return {
    name: "install-cni",
    image: image(values),
    ...(settings.imagePullPolicy ? { imagePullPolicy: settings.imagePullPolicy } : {}),
    args: [
      "cni",
      ...(values.logLevel === "info" ? [] : [`--log_output_level=${values.logLevel}`]),
      ...(values.logAsJson ? ["--log_as_json"] : []),
    ],
    ports: [{ containerPort: 15014, name: "metrics", protocol: "TCP" }],
    livenessProbe: { httpGet: { path: "/healthz", port: 8000 }, initialDelaySeconds: 5 },
    readinessProbe: { httpGet: { path: "/readyz", port: 8000 } },
    securityContext: {
      privileged: false,
      runAsGroup: 0,
      runAsUser: 0,
      runAsNonRoot: false,
      capabilities: {
        drop: ["ALL"],
        add: ["NET_ADMIN", "NET_RAW", "SYS_PTRACE", "SYS_ADMIN", "DAC_OVERRIDE"],
      },
    },
    envFrom: [{ configMapRef: { name: "istio-cni-config" } }],
    env: mergeEnv(
      [
        fieldEnv("KUBERNETES_NODE_NAME", "spec.nodeName"),
        fieldEnv("NODE_NAME", "spec.nodeName"),
        fieldEnv("REPAIR_NODE_NAME", "spec.nodeName"),
        { name: "REPAIR_RUN_AS_DAEMON", value: "true" },
        { name: "REPAIR_SIDECAR_ANNOTATION", value: "sidecar.istio.io/status" },
        ...(settings.shareHostNetworkNamespace ? [{ name: "ALLOW_SWITCH_TO_HOST_NS", value: "true" }] : []),
        fieldEnv("POD_NAME", "metadata.name"),
        fieldEnv("POD_NAMESPACE", "metadata.namespace"),
        fieldEnv("POD_UID", "metadata.uid"),
      ],
      env(settings.extraEnv),
      settings.env ?? [],
    ),
    volumeMounts: [
      { mountPath: "/host/opt/cni/bin", name: "cni-bin-dir" },
      { mountPath: "/host/proc", name: "cni-host-procfs", readOnly: true },
      { mountPath: "/host/etc/cni/net.d", name: "cni-net-dir" },
      { mountPath: "/var/run/istio-cni", name: "cni-socket-dir" },
      {
        mountPath: "/host/var/run/netns",
        // Network namespaces that the runtime mounts later have to become visible in the container.
        mountPropagation: "HostToContainer",
        name: "cni-netns-dir",
      },
      { mountPath: "/var/run/ztunnel", name: "cni-ztunnel-sock-dir" },
    ],
    resources: settings.resources ?? { requests: { cpu: "100m", memory: "100Mi" } },
  };
}

function volumes(values: InstallValues): Record<string, any>[] {
  const { cni: settings } = values;
  return [
    { name: "cni-bin-dir", hostPath: { path: settings.binDir } },
    { name: "cni-host-procfs", hostPath: { path: "/proc", type: "Directory" } },
    { name: "cni-ztunnel-sock-dir", hostPath: { path: "/var/run/ztunnel", type: "DirectoryOrCreate" } },
    { name: "cni-net-dir", hostPath: { path: settings.confDir } },
    { name: "cni-socket-dir", hostPath: { path: "/var/run/istio-cni" } },
    { name: "cni-netns-dir", hostPath: { path: settings.netnsDir, type: "DirectoryOrCreate" } },
  ];
}
