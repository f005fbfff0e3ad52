import { MeshError } from "../../core/errors.ts";
import { CLUSTER_NETWORK } from "../contracts.ts";
import { fabricBatch, forwardingSysctls, nodeAddresses, PROBE_SOURCE } from "./fabric.ts";
import { fstabLine, lines, tool } from "./host.ts";
import { IpBatch } from "./ip_batch.ts";
import type { RootFs } from "./root_fs.ts";

export interface NodeOptions {
  name: string;
  /** From 0; decides the node's addresses. */
  index: number;
  /** How many nodes the cluster has: this one gets routes to the others' pods. */
  count: number;
  dataDir: string;
  root: RootFs;
}

/** A node: network, mount and UTS namespaces held by one process, joined to the fabric by a veth. */
export interface NodeNamespace {
  readonly name: string;
  readonly index: number;
  /** The process that holds the namespaces. */
  readonly pid: number;
  /** Folder of the node below the data directory: `fs` (for hostPath), `pods`. */
  readonly dir: string;
  readonly addresses: ReturnType<typeof nodeAddresses>;
  /** Carries out `ip` commands on the node. */
  readonly ip: IpBatch;
  close(): Promise<void>;
}

/** $1 name, $2… kernel settings as path=value. Becomes the process that carries out the node's `ip` commands. */
const SCRIPT = `set -e
{ echo "$1" >/.ambientd/host/proc/sys/kernel/hostname; } 2>/dev/null || hostname "$1" || :
mount -a -T "/.ambientd/host/nodes/$1/fstab"
shift
ip=$1
shift
for setting; do
  echo "\${setting#*=}" 2>/dev/null >"/.ambientd/host/proc/sys/\${setting%%=*}" || :
done 2>/dev/null
read -r pid rest </.ambientd/host/proc/self/stat
echo "ready $pid"
exec "$ip" -o -force -batch - 2>&1
`;

/** Folders of the node's own file system that its processes (CNI plugins) see at their usual places. */
const NODE_FOLDERS: [inFs: string, seenAt: string][] = [
  ["etc/cni", "/etc/cni"],
  ["opt/cni", "/opt/cni"],
  ["var/run", "/run"],
  ["var/lib", "/var/lib"],
];

/** @throws MeshError `node_setup` or `network_setup` */
export async function createNode({ name, index, count, dataDir, root }: NodeOptions): Promise<NodeNamespace> {
  const dir = `${dataDir}/nodes/${name}`, addresses = nodeAddresses(index);
  for (const folder of ["pods", "fs/var/run/netns", "fs/etc/cni/net.d", "fs/opt/cni/bin", "fs/var/lib"]) {
    Deno.mkdirSync(`${dir}/${folder}`, { recursive: true, mode: 0o755 });
  }
  link("var/run", `${dir}/fs/run`);
  const inside = `/.ambientd/host/nodes/${name}/fs`;
  Deno.writeTextFileSync(
    `${dir}/fstab`,
    fstabLine("/.ambientd/host/proc", "/proc", "none", "rbind") + fstabLine("tmpfs", "/tmp", "tmpfs", "mode=1777") +
      NODE_FOLDERS.map(([source, target]) => fstabLine(`${inside}/${source}`, target, "none", "rbind")).join(""),
  );
  const settings = forwardingSysctls().map(([path, value]) => `${path}=${value}`);
  const process = new Deno.Command(tool("nsenter"), {
    args: [
      `--mount=/proc/${root.pid}/ns/mnt`,
      ...[tool("unshare"), "--net", "--mount", "--uts", "--propagation", "slave"],
      ...[tool("sh"), root.script("node", SCRIPT), name, tool("ip"), ...settings],
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
    clearEnv: true,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  }).spawn();
  const output = lines(process.stdout)[Symbol.asyncIterator]();
  const first = await output.next();
  const pid = Number(/^ready (\d+)$/.exec(first.value ?? "")?.[1]);
  if (!pid) throw new MeshError("node_setup", `cannot set up node "${name}": ${first.value ?? "its helper ended"}`);
  const ip = new IpBatch(process.stdin, { [Symbol.asyncIterator]: () => output });
  const fabric = await fabricBatch();
  await fabric.run(`join node "${name}" to the fabric`, [
    `link add node${index} type veth peer name eth0 netns ${pid}`,
    `link set node${index} addrgenmode none`,
    `link set node${index} master fabric0 up`,
    `route replace ${addresses.podCidr} via ${addresses.fabricIp} onlink dev fabric0`,
  ]);
  const others = Array.from({ length: count }, (_, other) => other).filter((other) => other !== index).map(
    nodeAddresses,
  );
  await ip.run(`set up the network of node "${name}"`, [
    "link set lo up",
    `addr add ${addresses.gateway}/32 dev lo`,
    "link set eth0 addrgenmode none",
    `addr add ${addresses.fabricIp}/16 dev eth0`,
    "link set eth0 up",
    `route add default via ${CLUSTER_NETWORK.fabricIp}`,
    `route add ${PROBE_SOURCE}/32 via ${CLUSTER_NETWORK.fabricIp}`,
    `route add unreachable ${addresses.podCidr}`,
    ...others.map((other) => `route add ${other.podCidr} via ${other.fabricIp} onlink dev eth0`),
  ]);
  return {
    name,
    index,
    pid,
    dir,
    addresses,
    ip,
    async close() {
      await fabric.run(`remove node "${name}"`, [`link del node${index}`, `route del ${addresses.podCidr}`]).catch(
        () => {},
      );
      await ip.close();
      await process.status;
    },
  };
}

function link(target: string, path: string): void {
  try {
    Deno.symlinkSync(target, path);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}
