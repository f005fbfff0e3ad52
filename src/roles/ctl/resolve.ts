import type { ComponentName, InstallValues, WorkloadSettings } from "../../../manifests/mod.ts";
import { CommandError } from "../../core/usage.ts";
import { VERSION } from "../../core/version.ts";
import { type OperatorSpec, overlay } from "./operator_spec.ts";
import { installableProfiles, PLATFORMS, PROFILES } from "./profiles.ts";

/** What an installation consists of, worked out from a spec. */
export interface Installation {
  readonly values: InstallValues;
  readonly components: readonly ComponentName[];
  /** Patches by component, as `components.<name>.k8s.overlays` has them. */
  readonly overlays: Readonly<Partial<Record<ComponentName, readonly Overlay[]>>>;
}

export interface Overlay {
  kind: string;
  name: string;
  patches?: { path: string; value?: unknown }[];
}

const REVISION = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/**
 * Interprets a merged spec.
 *
 * @throws CommandError for what cannot be installed: an unknown profile, a component that this version lacks, and the like
 */
export function resolveInstallation(spec: OperatorSpec): Installation {
  const name = spec.profile ?? spec.values?.profile ?? "default";
  const profile = Object.hasOwn(PROFILES, name) ? PROFILES[name] : undefined;
  if (!profile) {
    throw new CommandError(`unknown profile "${name}"; the profiles are ${Object.keys(PROFILES).join(", ")}`);
  }
  if (profile.needs) {
    throw new CommandError(
      `cannot install the profile "${name}": it needs ${profile.needs}, which this version does not have; ` +
        `choose another with --set profile=<${installableProfiles().join("|")}>`,
    );
  }
  for (const [list, label] of [["ingressGateways", "ingress gateway"], ["egressGateways", "egress gateway"]]) {
    const wanted = spec.components?.[list]?.find((gateway: any) => gateway?.enabled);
    if (wanted) {
      throw new CommandError(
        `cannot install the ${label} "${wanted.name ?? `istio-${list.slice(0, -1).toLowerCase()}`}": ` +
          `gateways are not available in this version; leave components.${list} out`,
      );
    }
  }
  const enabled = (component: ComponentName) =>
    spec.components?.[component]?.enabled ?? profile.components.includes(component);
  const order: ComponentName[] = ["base", "pilot", "cni", "ztunnel"];
  return {
    values: installValues(name, profile.ambient, spec),
    components: order.filter(enabled),
    overlays: Object.fromEntries(
      order.map((component) => [component, spec.components?.[component]?.k8s?.overlays ?? []]),
    ),
  };
}

function installValues(profile: string, ambient: boolean, spec: OperatorSpec): InstallValues {
  const helm = spec.values ?? {};
  const global = helm.global ?? {};
  const pilot = helm.pilot ?? {};
  const cni = helm.cni ?? {};
  const ztunnel = helm.ztunnel ?? {};
  const revision = spec.revision ?? helm.revision ?? "";
  const label = revision === "default" ? "" : revision;
  if (label !== "" && !REVISION.test(label)) {
    throw new CommandError(`cannot use "${revision}" as a revision: want lower-case letters, digits and dashes`);
  }
  const namespaces = Object.values(spec.components ?? {}).map((component: any) => component?.namespace).filter(Boolean);
  const namespace = spec.namespace ?? global.istioNamespace ?? "istio-system";
  const elsewhere = namespaces.find((other) => other !== namespace);
  if (elsewhere) {
    throw new CommandError(`cannot install a component into "${elsewhere}": all components share "${namespace}"`);
  }
  const platform = global.platform ?? "";
  const directories = Object.hasOwn(PLATFORMS, platform) ? PLATFORMS[platform] : undefined;
  if (!directories) {
    throw new CommandError(
      `unknown platform "${platform}"; the platforms are ${Object.keys(PLATFORMS).filter(Boolean).join(", ")}`,
    );
  }
  const tag = spec.tag ?? global.tag ?? VERSION;
  const logAsJson = global.logAsJson ?? false;
  const autoscale = pilot.autoscaleEnabled ?? true;
  return {
    profile,
    hub: spec.hub ?? global.hub ?? "",
    tag,
    version: tag,
    revision: label,
    namespace,
    clusterDomain: global.proxy?.clusterDomain ?? "cluster.local",
    clusterId: global.multiCluster?.clusterName ?? ztunnel.multiCluster?.clusterName ?? "Kubernetes",
    network: global.network ?? ztunnel.network ?? "",
    trustDomain: spec.meshConfig?.trustDomain ?? helm.meshConfig?.trustDomain ?? global.trustDomain ?? "cluster.local",
    logLevel: global.logging?.level?.replace(/^default:/, "") ?? "info",
    logAsJson,
    nativeNftables: global.nativeNftables ?? false,
    platform,
    ambient,
    meshConfig: overlay(
      overlay(helm.meshConfig ?? {}, spec.meshConfig ?? {}),
      global.meshID ? { defaultConfig: { meshId: global.meshID } } : {},
    ),
    pilot: {
      ...workload(spec, "pilot", pilot),
      ...(replicas(spec, pilot, autoscale)),
      extraEnv: pilot.env ?? {},
      traceSampling: pilot.traceSampling ?? 1,
      autoscaleMin: pilot.autoscaleMin ?? 1,
      autoscaleMax: pilot.autoscaleMax ?? 5,
    },
    cni: {
      ...workload(spec, "cni", cni),
      binDir: cni.cniBinDir ?? directories.binDir ?? "/opt/cni/bin",
      confDir: cni.cniConfDir ?? directories.confDir ?? "/etc/cni/net.d",
      confFileName: cni.cniConfFileName ?? "",
      netnsDir: cni.cniNetnsDir ?? directories.netnsDir ?? "/var/run/netns",
      chained: cni.chained ?? true,
      excludeNamespaces: cni.excludeNamespaces ?? ["kube-system"],
      dnsCapture: cni.ambient?.dnsCapture ?? true,
      ipv6: cni.ambient?.ipv6 ?? true,
      reconcileOnStartup: cni.ambient?.reconcileIptablesOnStartup ?? true,
      shareHostNetworkNamespace: cni.ambient?.shareHostNetworkNamespace ?? false,
      extraEnv: cni.env ?? {},
    },
    ztunnel: {
      ...workload(spec, "ztunnel", ztunnel),
      terminationGracePeriodSeconds: ztunnel.terminationGracePeriodSeconds ?? 30,
      caAddress: ztunnel.caAddress ?? global.caAddress ?? "",
      xdsAddress: ztunnel.xdsAddress ?? "",
      extraEnv: {
        ...(ztunnel.logLevel ? { RUST_LOG: ztunnel.logLevel } : {}),
        ...(ztunnel.logAsJson === undefined ? {} : { LOG_FORMAT: ztunnel.logAsJson ? "json" : "plain" }),
        ...ztunnel.env,
      },
    },
  };
}

/** A fixed number of replicas, or none where the autoscaler decides. */
function replicas(spec: OperatorSpec, pilot: any, autoscale: boolean): { replicaCount?: number } {
  const count = spec.components?.pilot?.k8s?.replicaCount ?? pilot.replicaCount;
  return count === undefined && autoscale ? {} : { replicaCount: count ?? 1 };
}

function workload(spec: OperatorSpec, component: ComponentName, helm: any): WorkloadSettings {
  const global = spec.values?.global ?? {};
  const k8s = spec.components?.[component]?.k8s ?? {};
  const settings = {
    replicaCount: k8s.replicaCount,
    resources: k8s.resources ?? helm.resources,
    env: k8s.env,
    nodeSelector: k8s.nodeSelector ?? helm.nodeSelector,
    tolerations: k8s.tolerations ?? helm.tolerations,
    affinity: k8s.affinity ?? helm.affinity,
    podAnnotations: k8s.podAnnotations || helm.podAnnotations
      ? { ...helm.podAnnotations, ...k8s.podAnnotations }
      : undefined,
    podLabels: helm.podLabels,
    priorityClassName: k8s.priorityClassName ?? (global.priorityClassName || undefined),
    strategy: k8s.strategy ?? helm.updateStrategy,
    imagePullPolicy: k8s.imagePullPolicy ?? (global.imagePullPolicy || undefined),
    imagePullSecrets: global.imagePullSecrets?.map((name: string) => ({ name })),
  };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}
