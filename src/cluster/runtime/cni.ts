import { MeshError } from "../../core/errors.ts";
import { run, tool } from "./host.ts";
import type { NodeNamespace } from "./node_namespace.ts";
import type { Sandbox } from "./sandbox.ts";

/** The runtime's own network, written as the primary configuration so that others can chain to it. */
const PRIMARY = "10-ambientd.conflist";
const PRIMARY_TYPE = "ambientd-ptp";

/** Writes the primary configuration of a node unless a chained one is there already from an earlier start. */
export function writePrimaryConfig(node: NodeNamespace): void {
  const path = `${node.dir}/fs/etc/cni/net.d/${PRIMARY}`;
  try {
    if (JSON.parse(Deno.readTextFileSync(path)).plugins?.length > 0) return;
  } catch {
    // Absent or broken: written anew.
  }
  const config = {
    cniVersion: "0.3.1",
    name: "ambientd",
    plugins: [{ type: PRIMARY_TYPE, ipam: { subnet: node.addresses.podCidr } }],
  };
  Deno.writeTextFileSync(path, JSON.stringify(config, null, 2) + "\n");
}

interface NetworkConfig {
  cniVersion: string;
  name: string;
  plugins: { type: string }[];
}

/** The configuration a container runtime would use: the first valid file in lexical order. */
function activeConfig(node: NodeNamespace): NetworkConfig | undefined {
  const dir = `${node.dir}/fs/etc/cni/net.d`;
  const names = [...Deno.readDirSync(dir)].map((entry) => entry.name).filter((name) =>
    /\.(conf|conflist|json)$/.test(name)
  );
  for (const name of names.sort()) {
    try {
      const config = JSON.parse(Deno.readTextFileSync(`${dir}/${name}`));
      if (Array.isArray(config.plugins) && config.plugins.length > 0) return config;
      if (typeof config.type === "string") return { ...config, plugins: [config] };
    } catch {
      // Being written, or broken: the next file counts.
    }
  }
  return undefined;
}

/**
 * Runs the CNI plugins chained after the runtime's own network, as a container runtime does when it has made a pod's
 * namespaces. Costs nothing while there are none.
 *
 * @throws MeshError `cni` with the plugin's own message
 */
export async function addToNetworks(
  node: NodeNamespace,
  sandbox: Sandbox,
  pod: { name: string; namespace: string; uid: string },
): Promise<void> {
  const config = activeConfig(node);
  const chained = (config?.plugins ?? []).filter((plugin) => plugin.type !== PRIMARY_TYPE);
  if (!config || chained.length === 0) return;
  let result: unknown = {
    cniVersion: config.cniVersion,
    interfaces: [{ name: "eth0", sandbox: sandbox.netns }],
    ips: [{ version: "4", interface: 0, address: `${sandbox.ip}/24`, gateway: node.addresses.gateway }],
    routes: [{ dst: "0.0.0.0/0", gw: node.addresses.gateway }],
    dns: {},
  };
  for (const plugin of chained) result = await add(node, config, plugin, sandbox, pod, result);
}

async function add(
  node: NodeNamespace,
  { cniVersion, name }: NetworkConfig,
  plugin: { type: string },
  sandbox: Sandbox,
  pod: { name: string; namespace: string; uid: string },
  prevResult: unknown,
): Promise<unknown> {
  const args = {
    IgnoreUnknown: "1",
    K8S_POD_NAMESPACE: pod.namespace,
    K8S_POD_NAME: pod.name,
    K8S_POD_INFRA_CONTAINER_ID: pod.uid,
    K8S_POD_UID: pod.uid,
  };
  const env = {
    CNI_COMMAND: "ADD",
    CNI_CONTAINERID: pod.uid,
    // By its process rather than as a file in /var/run/netns: mounts there would be copied into every later pod.
    CNI_NETNS: sandbox.netns,
    CNI_IFNAME: "eth0",
    CNI_PATH: "/opt/cni/bin",
    CNI_ARGS: Object.entries(args).map(([key, value]) => `${key}=${value}`).join(";"),
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  };
  const binary = `/opt/cni/bin/${plugin.type}`;
  if (!/^[A-Za-z0-9._-]+$/.test(plugin.type)) {
    throw new MeshError("cni", `CNI plugin type "${plugin.type}" is not a file name`);
  }
  const variables = Object.entries(env).map(([key, value]) => `${key}=${value}`);
  const { code, stdout, stderr } = await run(
    [tool("nsenter"), "-t", String(node.pid), "-m", "-n", "-u", tool("env"), "-i", ...variables, binary],
    JSON.stringify({ ...plugin, cniVersion, name, prevResult }),
  );
  if (code === 0) {
    try {
      return stdout.trim() === "" ? prevResult : JSON.parse(stdout);
    } catch {
      throw new MeshError("cni", `plugin type="${plugin.type}" failed (add): its result is not JSON`);
    }
  }
  if (code === 127) throw new MeshError("cni", `failed to find plugin "${plugin.type}" in path [/opt/cni/bin]`);
  let message = (stderr.trim() || stdout.trim() || `exit code ${code}`).slice(0, 500);
  try {
    const answer = JSON.parse(stdout);
    message = [answer.msg, answer.details].filter(Boolean).join("; ") || message;
  } catch {
    // Not a CNI error object.
  }
  throw new MeshError("cni", `plugin type="${plugin.type}" failed (add): ${message}`, { retryable: true });
}
