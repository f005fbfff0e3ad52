import { VERSION } from "../../core/version.ts";
import { ApiError } from "../api_error.ts";
import { CLUSTER_NETWORK, type ClusterApi, type KubeObject } from "../contracts.ts";
import type { NodeNamespace } from "./node_namespace.ts";

const NODES = { group: "", resource: "nodes" };
const LEASES = { group: "coordination.k8s.io", resource: "leases" };
const LEASE_NAMESPACE = "kube-node-lease";

/** The version of the API that the embedded cluster speaks, as its server reports it. */
const KUBELET_VERSION = "v1.32.0+ambientd";

/** The kubelet's habit: renewed every 10 s, stale after 40 s. */
const LEASE_SECONDS = 40;

/** Room of one node: each counts with the whole machine, since nothing is reserved for anybody. */
export interface MachineFacts {
  cpu: string;
  memory: string;
  pods: string;
  kernelVersion: string;
  osImage: string;
  machineId: string;
  bootId: string;
}

export function readMachine(): MachineFacts {
  const memory = /^MemTotal:\s+(\d+) kB/m.exec(text("/proc/meminfo"))?.[1] ?? "1048576";
  const osImage = /^PRETTY_NAME="?([^"\n]*)"?/m.exec(text("/etc/os-release"))?.[1] ?? "Linux";
  return {
    cpu: String(navigator.hardwareConcurrency),
    memory: `${memory}Ki`,
    pods: "250",
    kernelVersion: text("/proc/sys/kernel/osrelease").trim(),
    osImage,
    machineId: crypto.randomUUID().replaceAll("-", ""),
    bootId: text("/proc/sys/kernel/random/boot_id").trim() || crypto.randomUUID(),
  };
}

function text(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

/** Writes the Node of a running node: new, or brought up to date after a restart. What users added to it stays. */
export function registerNode(api: ClusterApi, node: NodeNamespace, machine: MachineFacts): KubeObject {
  const arch = Deno.build.arch === "x86_64" ? "amd64" : "arm64";
  const labels: Record<string, string> = {
    "kubernetes.io/hostname": node.name,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": arch,
    "beta.kubernetes.io/os": "linux",
    "beta.kubernetes.io/arch": arch,
    // Unlike kind there is no taint: a small cluster uses every node it has.
    ...(node.index === 0 ? { "node-role.kubernetes.io/control-plane": "" } : {}),
  };
  const spec = {
    podCIDR: node.addresses.podCidr,
    podCIDRs: [node.addresses.podCidr],
    providerID: `ambientd://${node.name}`,
  };
  const held = api.get(NODES, undefined, node.name);
  if (held) api.patch(NODES, undefined, node.name, "merge", { metadata: { labels }, spec });
  else api.create(NODES, { apiVersion: "v1", kind: "Node", metadata: { name: node.name, labels }, spec });
  const written = api.patch(NODES, undefined, node.name, "merge", { status: nodeStatus(node, machine, held) }, {
    subresource: "status",
  });
  renewLease(api, written);
  return written;
}

function nodeStatus(node: NodeNamespace, machine: MachineFacts, held: KubeObject | undefined): unknown {
  const now = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const amounts = { cpu: machine.cpu, memory: machine.memory, pods: machine.pods, "ephemeral-storage": "100Gi" };
  const condition = (type: string, status: string, reason: string, message: string) => {
    const before = (held?.status?.conditions ?? []).find((one: any) => one.type === type);
    const since = before?.status === status ? before.lastTransitionTime : now;
    return { type, status, reason, message, lastHeartbeatTime: now, lastTransitionTime: since };
  };
  return {
    capacity: amounts,
    allocatable: amounts,
    addresses: [
      { type: "InternalIP", address: node.addresses.fabricIp },
      { type: "Hostname", address: node.name },
    ],
    conditions: [
      condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
      condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
      condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
      condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ],
    nodeInfo: {
      machineID: machine.machineId,
      systemUUID: machine.machineId,
      bootID: machine.bootId,
      kernelVersion: machine.kernelVersion,
      osImage: machine.osImage,
      containerRuntimeVersion: `ambientd://${VERSION}`,
      kubeletVersion: KUBELET_VERSION,
      kubeProxyVersion: KUBELET_VERSION,
      operatingSystem: "linux",
      architecture: Deno.build.arch === "x86_64" ? "amd64" : "arm64",
    },
    daemonEndpoints: { kubeletEndpoint: { Port: CLUSTER_NETWORK.kubeletPort } },
  };
}

/** The heartbeat: without it the node controller takes the node for lost. */
export function renewLease(api: ClusterApi, node: KubeObject): void {
  const name = node.metadata.name, renewTime = new Date().toISOString().replace("Z", "000Z");
  try {
    api.patch(LEASES, LEASE_NAMESPACE, name, "merge", { spec: { renewTime } });
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 404) throw error;
    const owner = { apiVersion: "v1", kind: "Node", name, uid: node.metadata.uid! };
    api.create(LEASES, {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name, namespace: LEASE_NAMESPACE, ownerReferences: [owner] },
      spec: { holderIdentity: name, leaseDurationSeconds: LEASE_SECONDS, renewTime },
    });
  }
}
