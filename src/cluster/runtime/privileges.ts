import { tool } from "./host.ts";

/** What containerd leaves a container without a say in it, less MKNOD: its file systems are `nodev` anyway. */
const DEFAULT_CAPABILITIES = [
  ...["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE"],
  ...["NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"],
];

/** Capabilities that `setpriv` of any current util-linux knows. */
const KNOWN = new Set([
  ...DEFAULT_CAPABILITIES,
  ...["AUDIT_CONTROL", "AUDIT_READ", "BLOCK_SUSPEND", "DAC_READ_SEARCH", "IPC_LOCK", "IPC_OWNER", "LEASE"],
  ...["LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BROADCAST", "SYS_ADMIN", "SYS_BOOT"],
  ...["SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG"],
  ...["SYSLOG", "WAKE_ALARM"],
]);

/** The parts of a pod's and a container's securityContext that decide about a process. */
export interface SecurityContext {
  runAsUser?: number;
  runAsGroup?: number;
  supplementalGroups?: number[];
  fsGroup?: number;
  privileged?: boolean;
  allowPrivilegeEscalation?: boolean;
  capabilities?: { add?: string[]; drop?: string[] };
  procMount?: string;
}

/** The capabilities a container's processes may ever have, by their names without `CAP_`; "all" when privileged. */
export function capabilitiesOf(context: SecurityContext): string[] | "all" {
  if (context.privileged) return "all";
  const names = (list: string[] | undefined) => (list ?? []).map((name) => name.toUpperCase().replace(/^CAP_/, ""));
  const add = names(context.capabilities?.add), drop = new Set(names(context.capabilities?.drop));
  if (add.includes("ALL")) return drop.size === 0 ? "all" : [...KNOWN].filter((name) => !drop.has(name)).sort();
  const kept = drop.has("ALL") ? [] : DEFAULT_CAPABILITIES.filter((name) => !drop.has(name));
  return [...new Set([...kept, ...add.filter((name) => KNOWN.has(name))])].sort();
}

/** Which user and group ids the caller's user namespace has. Without root it may be only one of each. */
export interface IdMap {
  uid(id: number): boolean;
  gid(id: number): boolean;
  /** Whether supplementary groups can be set at all. */
  setgroups: boolean;
}

export function readIdMap(): IdMap {
  const ranges = (file: string) =>
    Deno.readTextFileSync(file).trim().split("\n").map((line) => line.trim().split(/\s+/).map(Number));
  const uids = ranges("/proc/self/uid_map"), gids = ranges("/proc/self/gid_map");
  const within = (list: number[][]) => (id: number) => list.some(([from, , count]) => id >= from && id < from + count);
  let setgroups = true;
  try {
    setgroups = Deno.readTextFileSync("/proc/self/setgroups").trim() === "allow";
  } catch {
    // Older kernels have no such file and always allow it.
  }
  return { uid: within(uids), gid: within(gids), setgroups };
}

/**
 * A process's environment as its user namespace needs it: where there is one user only, root cannot give files away, and
 * tar (`kubectl cp` unpacks with it) must not try.
 */
export function withinIdMap(env: Readonly<Record<string, string>>, ids: IdMap): Readonly<Record<string, string>> {
  return ids.uid(1) ? env : { TAR_OPTIONS: "--no-same-owner", ...env };
}

/**
 * The command prefix that gives a process its user, groups and capabilities. Ids that the user namespace lacks are left
 * out: without root, everything runs as the one user there is.
 */
export function setprivArgs(context: SecurityContext, ids: IdMap): string[] {
  const args = [tool("setpriv")];
  const { runAsUser, runAsGroup } = context;
  if (runAsUser !== undefined && ids.uid(runAsUser)) args.push("--reuid", String(runAsUser));
  const group = runAsGroup ?? (runAsUser ? 0 : undefined);
  if (group !== undefined && ids.gid(group)) args.push("--regid", String(group));
  const groups = [...context.supplementalGroups ?? [], ...(context.fsGroup === undefined ? [] : [context.fsGroup])]
    .filter((id) => ids.gid(id));
  if (!ids.setgroups) args.push("--keep-groups");
  else if (groups.length > 0) args.push("--groups", groups.join(","));
  else args.push("--clear-groups");
  const capabilities = capabilitiesOf(context);
  if (capabilities !== "all") {
    args.push("--bounding-set", ["-all", ...capabilities.map((name) => `+${name.toLowerCase()}`)].join(","));
    args.push("--inh-caps", "-all");
  }
  if (context.allowPrivilegeEscalation === false && !context.privileged) args.push("--no-new-privs");
  args.push("--");
  return args;
}
