import { MeshError } from "../../core/errors.ts";
import { firstReport, fstabLine, tool } from "./host.ts";
import type { NodeNamespace } from "./node_namespace.ts";
import { exists, type RootFs } from "./root_fs.ts";

/** A hostPath volume, bound into the pod's folder before the host's side is left behind. */
export interface HostPathBind {
  volume: string;
  /** As a path of the node; `/proc` is the engine's PID namespace. */
  path: string;
  file: boolean;
}

export interface SandboxOptions {
  node: NodeNamespace;
  root: RootFs;
  /** Names the folder `pods/<uid>` of the node. */
  uid: string;
  hostname: string;
  /** Absent for a pod in the node's network namespace. */
  ip?: string;
  hostPID: boolean;
  hostIPC: boolean;
  /** A privileged pod may write kernel settings. */
  privileged: boolean;
  hostPaths: readonly HostPathBind[];
}

/** The namespaces of one pod, held by one process. */
export interface Sandbox {
  /** The process that holds the namespaces, and the first of its PID namespace unless hostPID. */
  readonly pid: number;
  /** For `setns`: `/proc/<pid>/ns/net`. */
  readonly netns: string;
  readonly ip: string;
  readonly hostPID: boolean;
  /** Resolves when the holder ends, whoever ended it. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

/** Files of /proc that tell about, or act on, the whole machine. */
const PROC_READ_ONLY = ["sys", "sysrq-trigger", "bus", "fs", "irq"];
const PROC_HIDDEN = ["kcore", "keys", "key-users", "timer_list", "latency_stats", "kpagecount", "kpageflags"];

/**
 * $1 folder of the pod below `nodes`, $2 hostname (in a user namespace only the command can set it), $3 `ip` or nothing. SIGCHLD is ignored by what it becomes, so that the
 * kernel reaps the orphans of the pod's processes.
 */
export const SANDBOX_SCRIPT = `set -e
host=/.ambientd/host
{ echo "$2" >$host/proc/sys/kernel/hostname; } 2>/dev/null || hostname "$2" || :
mount -a -T "$host/nodes/$1/sandbox.fstab"
if [ -n "$3" ]; then
  for setting in conf/all/rp_filter conf/default/rp_filter ip_unprivileged_port_start; do
    echo 0 >$host/proc/sys/net/ipv4/$setting || :
  done 2>/dev/null
  echo '0 2147483647' >$host/proc/sys/net/ipv4/ping_group_range || :
  "$3" -batch "$host/nodes/$1/ip.batch"
fi 2>&1
read -r pid rest <$host/proc/self/stat
umount -R -l $host
echo "ready $pid"
trap '' CHLD
exec sleep infinity >/dev/null 2>&1 </dev/null
`;

/** @throws MeshError `sandbox_setup` with what the kernel or a tool complained about */
export async function createSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { node, root, uid, ip } = options;
  // A new name each time: the kernel takes its while to remove the link of an earlier sandbox.
  const dir = `${node.dir}/pods/${uid}`, veth = `veth${crypto.randomUUID().slice(0, 8)}`;
  Deno.writeTextFileSync(`${dir}/sandbox.fstab`, sandboxTable(options));
  if (ip) {
    Deno.writeTextFileSync(
      `${dir}/ip.batch`,
      [
        "link set lo up",
        `link add eth0 type veth peer name ${veth} netns /.ambientd/host/proc/${node.pid}/ns/net`,
        "link set eth0 addrgenmode none",
        `addr add ${ip}/32 dev eth0`,
        "link set eth0 up",
        `route add ${node.addresses.gateway} dev eth0 scope link`,
        `route add default via ${node.addresses.gateway} dev eth0`,
        "",
      ].join("\n"),
    );
  }
  const enter = [`--mount=/proc/${root.pid}/ns/mnt`, ...(ip ? [] : [`--net=/proc/${node.pid}/ns/net`])];
  const unshare = ["--mount", "--uts", "--propagation", "slave"];
  if (ip) unshare.push("--net");
  if (!options.hostIPC) unshare.push("--ipc");
  if (!options.hostPID) unshare.push("--pid", "--fork", "--kill-child");
  const script = [
    tool("sh"),
    root.script("sandbox", SANDBOX_SCRIPT),
    `${node.name}/pods/${uid}`,
    options.hostname,
    ip ? tool("ip") : "",
  ];
  const process = new Deno.Command(tool("nsenter"), {
    args: [...enter, tool("unshare"), ...unshare, ...script],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    clearEnv: true,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  }).spawn();
  const ended = process.status.then(() => {});
  const { line, said } = await firstReport(process, /^ready (\d+)$/);
  const pid = Number(line?.[1]);
  const close = async () => {
    try {
      // The holder rather than its parent, which reaps it then. Its PID namespace takes every process of the pod along.
      if (pid) Deno.kill(pid, "SIGKILL");
      else process.kill("SIGKILL");
    } catch {
      // Ended already.
    }
    await ended;
  };
  try {
    if (!pid) throw new MeshError("sandbox_setup", said || "the pod's helper process ended early");
    if (ip) {
      await node.ip.run("connect the pod to its node", [
        `link set ${veth} addrgenmode none up`,
        `route replace ${ip}/32 dev ${veth} scope link src ${node.addresses.gateway}`,
      ]);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    pid,
    netns: `/proc/${pid}/ns/net`,
    ip: ip ?? node.addresses.fabricIp,
    hostPID: options.hostPID,
    ended,
    close,
  };
}

function sandboxTable({ node, uid, hostPID, hostPaths, privileged }: SandboxOptions): string {
  const host = "/.ambientd/host", pod = "/.ambientd/pod", fs = `${host}/nodes/${node.name}/fs`;
  const flags = "nosuid,nodev,noexec";
  let table = hostPID ? fstabLine(`${host}/proc`, "/proc", "none", "rbind") : fstabLine("proc", "/proc", "proc", flags);
  if (!privileged) {
    for (const name of PROC_READ_ONLY.filter((file) => exists(`/proc/${file}`))) {
      table += fstabLine(`/proc/${name}`, `/proc/${name}`, "none", "bind,ro");
    }
    for (const name of PROC_HIDDEN.filter((file) => exists(`/proc/${file}`))) {
      table += fstabLine("/dev/null", `/proc/${name}`, "none", "bind");
    }
  }
  table += fstabLine("shm", "/dev/shm", "tmpfs", "nosuid,nodev,noexec,mode=1777,size=64m");
  table += fstabLine("devpts", "/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620");
  table += fstabLine(`${host}/nodes/${node.name}/pods/${uid}`, pod, "none", "bind");
  // Containers learn their process ids in the engine's view here; they unmount it before their program starts.
  table += fstabLine(`${host}/proc`, "/.ambientd/proc", "none", "bind");
  for (const name of ["hosts", "resolv.conf", "hostname"]) {
    const source = `${host}/nodes/${node.name}/pods/${uid}/${name === "hosts" ? "etc-hosts" : name}`;
    table += fstabLine(source, `/etc/${name}`, "none", "bind");
  }
  for (const { volume, path } of hostPaths) {
    const source = path === "/proc" || path.startsWith("/proc/") ? host + path : fs + path;
    table += fstabLine(source, `${pod}/volumes/${volume}`, "none", "rbind");
  }
  return table;
}
