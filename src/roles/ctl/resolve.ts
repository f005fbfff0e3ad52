import type { ComponentName, GatewaySettings, InstallValues, WorkloadSettings } from "../../../manifests/mod.ts";
import { CommandError } from "../../core/usage.ts";
import { VERSION } from "../../core/version.ts";
import { type OperatorSpec, overlay } from "./operator_spec.ts";
import { installableProfiles, PLATFORMS, type Profile, PROFILES } from "./profiles.ts";

/** What an installation consists of, worked out from a spec. */
export interface Installation {
  /** What was asked for: profile, files and settings, merged. */
  readonly spec: OperatorSpec;
  readonly values: InstallValues;
  readonly components: readonly ComponentName[];
  /** Patches by component, as `components.<name>.k8s.overlays` has them. */
  readonly overlays: Readonly<Partial<Record<ComponentName, readonly Overlay[]>>>;
  /** What the profile has in Istio and this version lacks. */
  readonly lacks?: string;
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
  const enabled = (component: ComponentName) =>
    isGateways(component)
      ? enabledGateways(spec, component).length > 0
      : spec.components?.[component]?.enabled ?? profile.components.includes(component);
  const order: ComponentName[] = ["base", "pilot", "cni", "ztunnel", "ingressGateways", "egressGateways"];
  return {
    spec,
    values: installValues(name, profile, spec),
    components: order.filter(enabled),
    overlays: Object.fromEntries(
      order.map((component) => [
        component,
        isGateways(component)
          ? enabledGateways(spec, component).flatMap(({ k8s }) => k8s?.overlays ?? [])
          : spec.components?.[component]?.k8s?.overlays ?? [],
      ]),
    ),
    ...(profile.lacks ? { lacks: profile.lacks } : {}),
  };
}

type Gateways = "ingressGateways" | "egressGateways";

function isGateways(component: ComponentName): component is Gateways {
  return component === "ingressGateways" || component === "egressGateways";
}

function enabledGateways(spec: OperatorSpec, list: Gateways): any[] {
  return (spec.components?.[list] ?? []).filter((gateway: any) => gateway?.enabled);
}

/** @throws CommandError for names that cannot be used */
function gateways(spec: OperatorSpec, list: Gateways, namespace: string): GatewaySettings[] {
  const direction = list === "ingressGateways" ? "ingress" : "egress";
  const found = enabledGateways(spec, list).map((gateway): GatewaySettings => {
    const k8s = gateway.k8s ?? {};
    const { serviceAnnotations: within, ...service } = k8s.service ?? {};
    const annotations = Object.entries({ ...within, ...k8s.serviceAnnotations });
    const name = gateway.name ?? `istio-${direction}gateway`;
    if (!REVISION.test(name)) {
      throw new CommandError(`cannot use "${name}" as a gateway's name: want lower-case letters, digits and dashes`);
    }
    return {
      ...workloadSettings(k8s, {}, spec.values?.global ?? {}),
      name,
      namespace: gateway.namespace ?? namespace,
      labels: gateway.label,
      service,
      serviceAnnotations: Object.fromEntries(annotations.map(([key, value]) => [key, String(value)])),
      hpaSpec: k8s.hpaSpec,
      securityContext: k8s.securityContext,
      volumes: k8s.volumes,
      volumeMounts: k8s.volumeMounts,
    };
  });
  const names = new Set<string>();
  for (const { name, namespace } of found) {
    const full = `${namespace}/${name}`;
    if (names.has(full)) throw new CommandError(`two gateways are called "${full}"`);
    names.add(full);
  }
  return found;
}

function installValues(profileName: string, profile: Profile, spec: OperatorSpec): InstallValues {
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
  const namespaces = Object.entries(spec.components ?? {}).filter(([, component]) => !Array.isArray(component))
    .map(([, component]: [string, any]) => component?.namespace).filter(Boolean);
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
    profile: profileName,
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
    ambient: profile.ambient,
    meshConfig: overlay(
      overlay(helm.meshConfig ?? {}, spec.meshConfig ?? {}),
      global.meshID ? { defaultConfig: { meshId: global.meshID } } : {},
    ),
    pilot: {
      ...workload(spec, "pilot", pilot),
      ...(replicas(spec, pilot, autoscale)),
      extraEnv: pilot.env ?? {},
      traceSampling: pilot.traceSampling ?? profile.traceSampling ?? 1,
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
    ingressGateways: gateways(spec, "ingressGateways", namespace),
    egressGateways: gateways(spec, "egressGateways", namespace),
  };
}

/** A fixed number of replicas, or none where the autoscaler decides. */
function replicas(spec: OperatorSpec, pilot: any, autoscale: boolean): { replicaCount?: number } {
  const count = spec.components?.pilot?.k8s?.replicaCount ?? pilot.replicaCount;
  return count === undefined && autoscale ? {} : { replicaCount: count ?? 1 };
}

function workload(spec: OperatorSpec, component: ComponentName, helm: any): WorkloadSettings {
  return workloadSettings(spec.components?.[component]?.k8s ?? {}, helm, spec.values?.global ?? {});
}

function workloadSettings(k8s: any, helm: any, global: any): WorkloadSettings {
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
