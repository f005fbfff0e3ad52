import type { ComponentName } from "../../../manifests/mod.ts";

/** The components a profile turns on; `needs` lists those that it has in Istio and that this version lacks. */
export interface Profile {
  readonly components: readonly ComponentName[];
  readonly ambient: boolean;
  readonly needs?: string;
}

/** Istio's profiles. */
export const PROFILES: Readonly<Record<string, Profile>> = {
  ambient: { components: ["base", "pilot", "cni", "ztunnel"], ambient: true },
  minimal: { components: ["base", "pilot"], ambient: false },
  empty: { components: [], ambient: false },
  default: { components: ["base", "pilot"], ambient: false, needs: "an ingress gateway and sidecar injection" },
  demo: { components: ["base", "pilot"], ambient: false, needs: "ingress and egress gateways and sidecar injection" },
  preview: { components: ["base", "pilot"], ambient: false, needs: "an ingress gateway and sidecar injection" },
  stable: { components: ["base", "pilot"], ambient: false, needs: "an ingress gateway and sidecar injection" },
  remote: { components: ["base", "pilot"], ambient: false, needs: "a sidecar injector for a control plane elsewhere" },
  openshift: { components: ["base", "pilot", "cni"], ambient: false, needs: "an ingress gateway and Multus" },
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
