import { type ConfigOf, setting } from "../../core/config.ts";

/** Settings of the CNI agent, with the names that Istio's chart writes into the ConfigMap istio-cni-config. */
export const CNI_SETTINGS = {
  nodeName: setting(["KUBERNETES_NODE_NAME", "NODE_NAME"], "string", "", "The node whose pods this agent captures"),
  podName: setting("POD_NAME", "string", "", "The agent's own pod"),
  podNamespace: setting("POD_NAMESPACE", "string", "istio-system", "The agent's own namespace, and ztunnel's"),
  ambientEnabled: setting("AMBIENT_ENABLED", "boolean", true, "Capture pods at all"),
  enablementSelector: setting(
    "AMBIENT_ENABLEMENT_SELECTOR",
    "string",
    "",
    "Which pods join, as YAML or JSON; Istio's default when empty",
  ),
  dnsCapture: setting("AMBIENT_DNS_CAPTURE", "boolean", true, "Capture DNS of every pod that does not say otherwise"),
  ipv6: setting("AMBIENT_IPV6", "boolean", true, "Rules for IPv6 as well"),
  reconcileOnStartup: setting(
    "AMBIENT_RECONCILE_POD_RULES_ON_STARTUP",
    "boolean",
    true,
    "Write the rules of captured pods again when the agent starts",
  ),
  excludeNamespaces: setting("EXCLUDE_NAMESPACES", "list", ["kube-system"], "Namespaces that never join"),
  nativeNftables: setting(
    "NATIVE_NFTABLES",
    "boolean",
    false,
    "Insist on nftables; otherwise it is used where nft is there",
  ),
  forceIptables: setting("FORCE_IPTABLES_BINARY", "string", "", "Use iptables although nft is there"),
  chained: setting("CHAINED_CNI_PLUGIN", "boolean", true, "Append the plugin to the node's CNI configuration"),
  confName: setting("CNI_CONF_NAME", "string", "", "The configuration file to extend; the first one when empty"),
  confDir: setting("MOUNTED_CNI_NET_DIR", "string", "/host/etc/cni/net.d", "The node's CNI configuration"),
  binDir: setting("MOUNTED_CNI_BIN_DIR", "string", "/host/opt/cni/bin", "The node's CNI plugins"),
  hostProc: setting("HOST_PROC", "string", "/host/proc", "The node's /proc"),
  hostNetnsDir: setting("HOST_NETNS_DIR", "string", "/host/var/run/netns", "The node's /var/run/netns"),
  runDir: setting(
    "CNI_AGENT_RUN_DIR",
    "string",
    "/var/run/istio-cni",
    "Sockets of the agent and the plugin's kubeconfig",
  ),
  zdsPath: setting("ZTUNNEL_UDS_ADDRESS", "string", "/var/run/ztunnel/ztunnel.sock", "Where ztunnel finds the agent"),
  probeIpv4: setting("HOST_PROBE_SNAT_IP", "string", "169.254.7.127", "Source of kubelet probes after SNAT"),
  probeIpv6: setting(
    "HOST_PROBE_SNAT_IPV6",
    "string",
    "fd16:9254:7127:1337:ffff:ffff:ffff:ffff",
    "The same for IPv6",
  ),
  monitoringPort: setting("MONITORING_PORT", "integer", 15014, "Metrics"),
  healthPort: setting("HEALTH_PORT", "integer", 8000, "/healthz and /readyz"),
  workers: setting("AMBIENT_RULE_WORKERS", "integer", 8, "Pods that are captured at the same time"),
};

export type CniConfig = ConfigOf<typeof CNI_SETTINGS>;
