import { CLUSTER_NETWORK, type KubeObject } from "../contracts.ts";

/** Writes the files of a pod's folder that its containers see in /etc. */
export function writePodFiles(dir: string, pod: KubeObject, ip: string, nodeName: string): void {
  const hostname = podHostname(pod, nodeName);
  writeKept(`${dir}/etc-hosts`, etcHosts(pod, ip, hostname));
  writeKept(`${dir}/resolv.conf`, resolvConf(pod));
  writeKept(`${dir}/hostname`, hostname + "\n");
}

/** Writes in place, since the file may be bound into a pod. */
function writeKept(path: string, text: string): void {
  Deno.writeTextFileSync(path, text, { mode: 0o644 });
}

export function podHostname(pod: KubeObject, nodeName: string): string {
  if (pod.spec?.hostNetwork) return nodeName;
  return (pod.spec?.hostname || pod.metadata.name).slice(0, 63).replace(/[-.]+$/, "");
}

function etcHosts(pod: KubeObject, ip: string, hostname: string): string {
  const { subdomain, hostAliases = [], hostNetwork } = pod.spec ?? {};
  const domain = `${pod.metadata.namespace}.svc.${CLUSTER_NETWORK.clusterDomain}`;
  const names = subdomain && !hostNetwork ? `${hostname}.${subdomain}.${domain}\t${hostname}` : hostname;
  const lines = [
    "# Kubernetes-managed hosts file.",
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
    `${ip}\t${names}`,
  ];
  if (hostAliases.length > 0) {
    lines.push("", "# Entries added by HostAliases.");
    for (const alias of hostAliases) lines.push(`${alias.ip}\t${(alias.hostnames ?? []).join("\t")}`);
  }
  return lines.join("\n") + "\n";
}

/** By dnsPolicy and dnsConfig. "Default" means the node's resolver, which is the cluster's without its search list. */
export function resolvConf(pod: KubeObject): string {
  const { dnsPolicy = "ClusterFirst", dnsConfig = {}, hostNetwork } = pod.spec ?? {};
  const domain = CLUSTER_NETWORK.clusterDomain;
  let nameservers: string[] = [], searches: string[] = [];
  const options = new Map<string, string | undefined>();
  if (dnsPolicy === "ClusterFirstWithHostNet" || (dnsPolicy === "ClusterFirst" && !hostNetwork)) {
    nameservers = [CLUSTER_NETWORK.dnsServiceIp];
    searches = [`${pod.metadata.namespace}.svc.${domain}`, `svc.${domain}`, domain];
    options.set("ndots", "5");
  } else if (dnsPolicy !== "None") nameservers = [CLUSTER_NETWORK.fabricIp];
  nameservers = [...new Set([...nameservers, ...dnsConfig.nameservers ?? []])].slice(0, 3);
  searches = [...new Set([...searches, ...dnsConfig.searches ?? []])];
  for (const { name, value } of dnsConfig.options ?? []) options.set(name, value);
  const lines = searches.length > 0 ? [`search ${searches.join(" ")}`] : [];
  lines.push(...nameservers.map((ip) => `nameserver ${ip}`));
  if (options.size > 0) {
    lines.push(
      `options ${[...options].map(([name, value]) => value === undefined ? name : `${name}:${value}`).join(" ")}`,
    );
  }
  return lines.join("\n") + "\n";
}
