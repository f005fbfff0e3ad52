import { MeshError } from "../../core/errors.ts";
import { canonicalIp } from "../../core/ip.ts";

/** The environment that a container runtime gives a CNI plugin. */
export interface CniEnvironment {
  readonly command: string;
  readonly containerId: string;
  /** As the node sees it. */
  readonly netns: string;
  /** `KEY=value;KEY=value` */
  readonly args: string;
}

/** The configuration that comes on stdin, as far as the plugin reads it. */
export interface PluginConfig {
  readonly cniVersion?: string;
  readonly prevResult?: Record<string, any>;
  readonly cni_agent_run_dir?: string;
  readonly ambient_enabled?: boolean;
  readonly enablement_selectors?: unknown[];
  readonly exclude_namespaces?: string[];
  readonly pod_namespace?: string;
  readonly enable_ambient_detection_retry?: boolean;
}

/** Versions of the CNI specification that the plugin takes part in. */
export const CNI_VERSIONS: readonly string[] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/** @throws MeshError `cni_bad_config` */
export function parsePluginConfig(text: string): PluginConfig {
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (cause) {
    throw new MeshError("cni_bad_config", "cannot read the network configuration as JSON", { cause });
  }
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new MeshError("cni_bad_config", "the network configuration is not an object");
  }
  const { cniVersion } = config as PluginConfig;
  if (cniVersion !== undefined && !CNI_VERSIONS.includes(cniVersion)) {
    throw new MeshError("cni_bad_config", `CNI version "${cniVersion}" is not supported`);
  }
  return config as PluginConfig;
}

/** Pod name and namespace of `CNI_ARGS`; undefined when the sandbox is not a Kubernetes pod's. */
export function podOf(args: string): { name: string; namespace: string; uid: string | undefined } | undefined {
  const values = new Map(
    args.split(";").map((part) => {
      const cut = part.indexOf("=");
      return [part.slice(0, cut), part.slice(cut + 1)];
    }),
  );
  const name = values.get("K8S_POD_NAME"), namespace = values.get("K8S_POD_NAMESPACE");
  return name && namespace ? { name, namespace, uid: values.get("K8S_POD_UID") } : undefined;
}

/** What the plugin prints: the result of the plugins before it, unchanged. */
export function unchangedResult(config: PluginConfig): string {
  return JSON.stringify(config.prevResult ?? { cniVersion: config.cniVersion ?? "0.3.1", interfaces: [], ips: [] });
}

/** The pod's addresses, as the plugins before this one say. */
export function resultIps(config: PluginConfig): string[] {
  const ips = config.prevResult?.ips;
  if (!Array.isArray(ips)) return [];
  return ips.map((entry) => canonicalIp(String(entry?.address ?? "").split("/")[0])).filter((ip) => ip !== undefined);
}

/** A CNI error object (printed on stdout with a non-zero exit code). */
export function cniError(message: string, cniVersion = "0.3.1"): string {
  return JSON.stringify({ cniVersion, code: 999, msg: message });
}

/** Body of `POST /cmdadd`, in Istio's Go encoding. */
export interface CmdAddEvent {
  readonly Netns: string;
  readonly PodName: string;
  readonly PodNamespace: string;
  readonly IPs: readonly { readonly Interface: number | null; readonly Address: GoIpNet; readonly Gateway: string }[];
}

/** Go's net.IPNet in JSON: the address as text, the mask as base64. */
interface GoIpNet {
  readonly IP: string;
  readonly Mask: string;
}

export function cmdAddEvent(config: PluginConfig, env: CniEnvironment): CmdAddEvent {
  const pod = podOf(env.args);
  const ips = (config.prevResult?.ips ?? []) as { address?: string; gateway?: string; interface?: number }[];
  return {
    Netns: env.netns,
    PodName: pod?.name ?? "",
    PodNamespace: pod?.namespace ?? "",
    IPs: ips.map(({ address = "", gateway = "", interface: index }) => {
      const [ip, length] = address.split("/");
      const bytes = ip.includes(":") ? 16 : 4;
      return { Interface: index ?? null, Address: { IP: ip, Mask: mask(Number(length), bytes) }, Gateway: gateway };
    }),
  };
}

function mask(length: number, bytes: number): string {
  const bits = Array.from({ length: bytes }, (_, i) => (0xff00 >> Math.max(0, Math.min(8, length - 8 * i))) & 0xff);
  return btoa(String.fromCharCode(...bits));
}

/** @throws MeshError `cni_bad_config` */
export function parseCmdAdd(text: string): { netns: string; name: string; namespace: string; ips: string[] } {
  let event: CmdAddEvent;
  try {
    event = JSON.parse(text);
  } catch (cause) {
    throw new MeshError("cni_bad_config", "cannot read the event as JSON", { cause });
  }
  const { Netns, PodName, PodNamespace, IPs } = event ?? {};
  if ([Netns, PodName, PodNamespace].some((field) => typeof field !== "string" || field === "")) {
    throw new MeshError("cni_bad_config", "the event lacks Netns, PodName or PodNamespace");
  }
  const ips = (Array.isArray(IPs) ? IPs : []).map((entry) => canonicalIp(String(entry?.Address?.IP ?? "")));
  return { netns: Netns, name: PodName, namespace: PodNamespace, ips: ips.filter((ip) => ip !== undefined) };
}
