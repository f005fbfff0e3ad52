import type { ComponentName } from "../../../manifests/mod.ts";

/** The components a profile turns on. */
export interface Profile {
  readonly components: readonly ComponentName[];
  readonly ambient: boolean;
  /** Which of the classic gateways are on, and what they ask for when it is not the template's. */
  readonly gateways?: { readonly ingress?: true; readonly egress?: true; readonly resources?: Record<string, unknown> };
  /** Share of requests that are traced, when it is not 1 %. */
  readonly traceSampling?: number;
  /** What it has in Istio and cannot be done without, so that it is not installed. */
  readonly needs?: string;
  /** What it has in Istio and this version lacks: said when it is installed. */
  readonly lacks?: string;
}

const NO_GATEWAYS = {};
const INJECTION =
  "sidecar injection: pods join the mesh by the label istio.io/dataplane-mode=ambient and the profile ambient";

/** Istio's profiles. */
export const PROFILES: Readonly<Record<string, Profile>> = {
  ambient: { components: ["base", "pilot", "cni", "ztunnel"], ambient: true, gateways: NO_GATEWAYS },
  minimal: { components: ["base", "pilot"], ambient: false, gateways: NO_GATEWAYS },
  empty: { components: [], ambient: false, gateways: NO_GATEWAYS },
  default: { components: ["base", "pilot"], ambient: false, gateways: { ingress: true }, lacks: INJECTION },
  demo: {
    components: ["base", "pilot"],
    ambient: false,
    gateways: { ingress: true, egress: true, resources: { requests: { cpu: "10m", memory: "40Mi" } } },
    traceSampling: 100,
    lacks: INJECTION,
  },
  preview: { components: ["base", "pilot"], ambient: false, gateways: { ingress: true }, lacks: INJECTION },
  stable: { components: ["base", "pilot"], ambient: false, gateways: { ingress: true }, lacks: INJECTION },
  remote: { components: ["base", "pilot"], ambient: false, needs: "a sidecar injector for a control plane elsewhere" },
  openshift: { components: ["base", "pilot", "cni"], ambient: false, needs: "Multus" },
  "openshift-ambient": { components: ["base", "pilot", "cni", "ztunnel"], ambient: true, needs: "Multus" },
};

/** Profiles that can be installed. */
export function installableProfiles(): string[] {
  return Object.entries(PROFILES).filter(([, profile]) => !profile.needs).map(([name]) => name);
}

/** Where a platform keeps what the CNI agent touches (`values.global.platform`). */
export const PLATFORMS: Readonly<Record<string, { binDir?: string; confDir?: string; netnsDir?: string }>> = {
  "": {},
  gke: { binDir: "/home/kubernetes/bin" },
  k3d: { binDir: "/bin", confDir: "/var/lib/rancher/k3s/agent/etc/cni/net.d" },
  k3s: { binDir: "/var/lib/rancher/k3s/data/cni", confDir: "/var/lib/rancher/k3s/agent/etc/cni/net.d" },
  microk8s: {
    binDir: "/var/snap/microk8s/current/opt/cni/bin",
    confDir: "/var/snap/microk8s/current/args/cni-network",
  },
  minikube: { netnsDir: "/var/run/docker/netns" },
};
