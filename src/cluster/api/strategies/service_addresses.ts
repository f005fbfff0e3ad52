import { ApiError } from "../../api_error.ts";
import { CLUSTER_NETWORK, type KubeObject } from "../../contracts.ts";
import { invalid } from "../errors.ts";
import { field } from "../errors.ts";
import type { AdmissionEnv } from "../types.ts";

const NODE_PORT_MIN = 30000;
const NODE_PORT_MAX = 32767;
/** Addresses below this offset are left for Services that ask for one, as real clusters do. */
const STATIC_OFFSET = 256;

function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) {
    return undefined;
  }
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
}

const [rangeText, bitsText] = CLUSTER_NETWORK.serviceCidr.split("/");
const RANGE_START = parseIpv4(rangeText)!;
const RANGE_SIZE = 2 ** (32 - Number(bitsText));

/** Gives a Service its cluster IP and node ports, or checks those it asks for, against all other Services. */
export function allocateServiceAddresses(service: KubeObject, old: KubeObject | undefined, env: AdmissionEnv): void {
  const { spec } = service;
  if (spec.type === "ExternalName") {
    for (const name of ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]) {
      delete spec[name];
    }
    return;
  }
  // By name: one that is created a second time is refused for being there, not for its addresses.
  const { namespace, name } = service.metadata;
  const others = [...env.list("/services")]
    .filter(({ metadata }) => metadata.name !== name || metadata.namespace !== namespace);
  allocateClusterIp(service, old, others);
  allocateNodePorts(service, others);
}

function allocateClusterIp(service: KubeObject, old: KubeObject | undefined, others: KubeObject[]): void {
  const { spec } = service;
  if (old && old.spec.type !== "ExternalName" && !spec.clusterIP) {
    spec.clusterIP = old.spec.clusterIP;
    spec.clusterIPs = old.spec.clusterIPs;
  }
  spec.ipFamilies ??= ["IPv4"];
  spec.ipFamilyPolicy ??= "SingleStack";
  spec.internalTrafficPolicy ??= "Cluster";
  if (!spec.clusterIP && spec.clusterIPs?.[0]) spec.clusterIP = spec.clusterIPs[0];
  if (spec.clusterIP === "None") {
    spec.clusterIPs = ["None"];
    return;
  }
  const used = new Set(others.map((other) => other.spec?.clusterIP));
  if (spec.clusterIP) {
    const value = parseIpv4(spec.clusterIP);
    const problem = value === undefined
      ? "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
      : value <= RANGE_START || value >= RANGE_START + RANGE_SIZE - 1
      ? `failed to allocate IP ${spec.clusterIP}: the provided IP (${spec.clusterIP}) is not in the valid range. ` +
        `The range of valid IPs is ${CLUSTER_NETWORK.serviceCidr}`
      : used.has(spec.clusterIP)
      ? `failed to allocate IP ${spec.clusterIP}: provided IP is already allocated`
      : undefined;
    if (problem) {
      const path = value === undefined ? "spec.clusterIPs[0]" : "spec.clusterIPs";
      const shown = value === undefined ? spec.clusterIP : [spec.clusterIP];
      throw invalid("Service", "", service.metadata.name, [field.invalid(path, shown, problem)]);
    }
  } else {
    const reserved: string[] = [CLUSTER_NETWORK.apiServiceIp, CLUSTER_NETWORK.dnsServiceIp];
    const span = RANGE_SIZE - STATIC_OFFSET - 1;
    const start = crypto.getRandomValues(new Uint32Array(1))[0] % span;
    for (let i = 0; i < span && !spec.clusterIP; i++) {
      const candidate = formatIpv4(RANGE_START + STATIC_OFFSET + (start + i) % span);
      if (!used.has(candidate) && !reserved.includes(candidate)) spec.clusterIP = candidate;
    }
    if (!spec.clusterIP) {
      throw new ApiError(
        500,
        "InternalError",
        "Internal error occurred: failed to allocate a serviceIP: range is full",
      );
    }
  }
  spec.clusterIPs = [spec.clusterIP];
}

function allocateNodePorts(service: KubeObject, others: KubeObject[]): void {
  const { spec } = service;
  const wanted = spec.type === "NodePort" ||
    (spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false);
  if (!wanted) {
    if (spec.type === "ClusterIP") { for (const port of spec.ports ?? []) delete port.nodePort; }
    return;
  }
  const used = new Set<string>();
  for (const other of others) {
    for (const port of other.spec?.ports ?? []) if (port.nodePort) used.add(`${port.protocol}/${port.nodePort}`);
  }
  const errors = [];
  for (const [i, port] of (spec.ports ?? []).entries()) {
    if (!port.nodePort) continue;
    const path = `spec.ports[${i}].nodePort`;
    if (port.nodePort < NODE_PORT_MIN || port.nodePort > NODE_PORT_MAX) {
      errors.push(
        field.invalid(
          path,
          port.nodePort,
          `provided port is not in the valid range. The range of valid ports is ${NODE_PORT_MIN}-${NODE_PORT_MAX}`,
        ),
      );
    } else if (used.has(`${port.protocol}/${port.nodePort}`)) {
      errors.push(field.invalid(path, port.nodePort, "provided port is already allocated"));
    }
    used.add(`${port.protocol}/${port.nodePort}`);
  }
  if (errors.length > 0) throw invalid("Service", "", service.metadata.name, errors);
  for (const port of spec.ports ?? []) {
    if (port.nodePort) continue;
    const span = NODE_PORT_MAX - NODE_PORT_MIN + 1;
    const start = crypto.getRandomValues(new Uint32Array(1))[0] % span;
    for (let i = 0; i < span && !port.nodePort; i++) {
      const candidate = NODE_PORT_MIN + (start + i) % span;
      if (!used.has(`${port.protocol}/${candidate}`)) port.nodePort = candidate;
    }
    used.add(`${port.protocol}/${port.nodePort}`);
  }
}
