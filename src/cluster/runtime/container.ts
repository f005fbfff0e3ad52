import { MeshError } from "../../core/errors.ts";
import { fstabLine, tool } from "./host.ts";
import type { LogFile } from "./logs.ts";
import { type IdMap, type SecurityContext, setprivArgs, withinIdMap } from "./privileges.ts";
import { ContainerStreams, type OutputName } from "./container_streams.ts";
import { exists, type RootFs, SCRATCH } from "./root_fs.ts";
import type { Sandbox } from "./sandbox.ts";
import { childrenOf, withTerminal } from "./terminal.ts";

/** Something of the pod's folder at a path of the container. */
export interface ContainerMount {
  /** Below the pod's folder, such as `volumes/config/app.yaml`. */
  source: string;
  /** In the container. */
  target: string;
  readOnly: boolean;
  kind: "folder" | "file";
  /** Later mounts of the host below the source appear here too (HostToContainer). */
  recursive: boolean;
}

export interface ContainerStart {
  name: string;
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  mounts: readonly ContainerMount[];
  security: SecurityContext;
  log: LogFile;
  /** Standard input stays open for those who attach. */
  stdin?: boolean;
  /** The command gets a terminal; its output is one stream then. */
  tty?: boolean;
}

export interface Exit {
  readonly code: number;
  readonly signal?: string;
}

/** The processes of one start of a container. */
export interface RunningContainer {
  /** The main process, as the engine numbers it. */
  readonly pid: number;
  /** The process that was started for the container; everything in it descends from this one, orphans aside. */
  readonly helper: number;
  readonly exited: Promise<Exit>;
  /** What `kubectl attach` joins. */
  readonly streams: ContainerStreams;
  /** Signals the main process. */
  signal(name: Deno.Signal): void;
}

/**
 * $1 container, $2 working directory, the rest is the command. The first line of standard output is the process id as the
 * engine knows it, marked by a byte that no log line starts with. `become` comes from the file that
 * {@linkcode writeBecome} writes.
 */
const SCRIPT = `set -e
read -r pid rest </.ambientd/proc/self/stat
dir="/.ambientd/pod/containers/$1"
. "$dir/become"
if [ -f "$dir/files" ]; then
  mount -a -T "$dir/scratch"
  while read -r file; do
    mkdir -p "\${file%/*}"
    : >"$file"
  done <"$dir/files"
fi
mount -a -T "$dir/fstab"
umount -R -l /.ambientd
cd -- "$2" 2>/dev/null || { echo "cannot enter the working directory $2" >&2; exit 126; }
shift 2
printf '\\001%s\\n' "$pid"
become "$@"
`;

const HANDSHAKE = 1, NEWLINE = 10;

/**
 * Starts a container in its pod's namespaces, with mounts of its own.
 *
 * @param podDir the pod's folder in the engine's view
 * @throws MeshError `container_setup` with what a mount or the shell complained about
 */
export async function startContainer(
  sandbox: Sandbox,
  root: RootFs,
  podDir: string,
  ids: IdMap,
  start: ContainerStart,
): Promise<RunningContainer> {
  writeTables(root, podDir, start);
  writeBecome(`${podDir}/containers/${start.name}`, start, ids);
  const command = start.tty ? withTerminal(start.argv) : start.argv;
  const process = new Deno.Command(tool("nsenter"), {
    args: [
      ...enterArgs(sandbox),
      ...[tool("unshare"), "--mount", "--propagation", "slave"],
      ...[tool("sh"), root.script("container", SCRIPT), start.name, start.cwd, ...command],
    ],
    stdin: start.stdin ? "piped" : "null",
    stdout: "piped",
    stderr: "piped",
    clearEnv: true,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  }).spawn();
  const streams = new ContainerStreams(start.stdin ? process.stdin : undefined, process.pid, start.tty === true);
  const write = (name: OutputName, chunk: Uint8Array) => {
    start.log.write(name, chunk);
    streams.output(name, chunk);
  };
  let complaint = "";
  let started = false;
  const stderr = process.stderr.getReader(), stdout = process.stdout.getReader();
  const errors = drain(stderr, (chunk) => {
    if (started) write("stderr", chunk);
    else complaint += new TextDecoder().decode(chunk);
  });
  const { pid, rest } = await handshake(stdout);
  if (!pid) {
    await Promise.all([errors, process.status]);
    streams.end();
    throw new MeshError("container_setup", complaint.trim() || "the container's set-up ended early");
  }
  started = true;
  if (complaint !== "") write("stderr", new TextEncoder().encode(complaint));
  if (rest.length > 0) write("stdout", rest);
  const output = drain(stdout, (chunk) => write("stdout", chunk));
  const mountNamespace = link(`/proc/${pid}/ns/mnt`);
  const exited = (async () => {
    const status = await process.status;
    // What the main process left behind goes with it, as it would with a container's cgroup.
    if (mountNamespace) killLeftovers(sandbox, mountNamespace);
    await Promise.race([Promise.all([output, errors]), delay(2000)]);
    await Promise.all([stdout.cancel().catch(() => {}), stderr.cancel().catch(() => {})]);
    await Promise.all([output, errors]);
    streams.end();
    return status.signal ? { code: status.code, signal: status.signal } : { code: status.code };
  })();
  return {
    pid,
    helper: process.pid,
    exited,
    streams,
    signal(name) {
      try {
        Deno.kill(pid, name);
      } catch {
        // Ended meanwhile.
      }
    },
  };
}

/** Arguments of `nsenter` that lead into a pod. */
export function enterArgs(sandbox: Sandbox, target = sandbox.pid): string[] {
  return ["-t", String(target), "-m", "-u", "-i", "-n", ...(sandbox.hostPID ? [] : ["-p"])];
}

/**
 * Writes the shell function that turns into a command with the container's user, capabilities and environment. A file, since
 * arguments of processes can be read by every user of the machine and the environment may hold secrets; and not the
 * environment of the helpers, since it is the pod's to choose (think of LD_PRELOAD).
 */
function writeBecome(dir: string, { security, env }: ContainerStart, ids: IdMap): void {
  const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;
  const words = [...setprivArgs(security, ids), tool("env"), "-i"];
  words.push(...Object.entries(withinIdMap(env, ids)).map(([name, value]) => `${name}=${value}`));
  const text = `become() {\n  exec ${words.map(quote).join(" ")} "$@"\n}\n`;
  Deno.writeTextFileSync(`${dir}/become`, text, { mode: 0o600 });
}

function writeTables(root: RootFs, podDir: string, start: ContainerStart): void {
  const dir = `${podDir}/containers/${start.name}`;
  Deno.mkdirSync(dir, { recursive: true, mode: 0o755 });
  let scratch = "", table = "";
  const covered = (path: string) => SCRATCH.some((top) => path.startsWith(top.path + "/"));
  for (const { path, mode } of SCRATCH) scratch += fstabLine("tmpfs", path, "tmpfs", `nosuid,nodev,mode=${mode}`);
  const files: string[] = [];
  const mounts = start.mounts.map((mount) => ({ ...mount, target: root.resolve(mount.target) }))
    .sort((a, b) => a.target < b.target ? -1 : a.target > b.target ? 1 : 0);
  for (const [index, { source, target, readOnly, kind, recursive }] of mounts.entries()) {
    if (!root.place(target, kind)) table += overlay(podDir, start.name, index, target, kind);
    if (kind === "file" && covered(target)) files.push(target);
    const options = [
      recursive ? "rbind" : "bind",
      ...(readOnly ? ["ro"] : []),
      ...(kind === "folder" ? ["X-mount.mkdir"] : []),
    ];
    table += fstabLine(`/.ambientd/pod/${source}`, target, "none", options.join(","));
  }
  if (files.length > 0) {
    Deno.writeTextFileSync(`${dir}/scratch`, scratch);
    Deno.writeTextFileSync(`${dir}/files`, files.map((file) => file + "\n").join(""));
  }
  Deno.writeTextFileSync(`${dir}/fstab`, (files.length > 0 ? "" : scratch) + table);
}

/**
 * A read-only overlay that adds a missing mount point to a folder of the host. It lies on the deepest folder that exists,
 * so that as little as possible is covered.
 */
function overlay(podDir: string, container: string, index: number, target: string, kind: "folder" | "file"): string {
  let parent = target;
  do parent = parent.slice(0, parent.lastIndexOf("/")) || "/"; while (!exists(parent));
  const name = `containers/${container}/place${index}`, made = `${podDir}/${name}${target.slice(parent.length)}`;
  Deno.mkdirSync(kind === "folder" ? made : made.slice(0, made.lastIndexOf("/")), { recursive: true, mode: 0o755 });
  if (kind === "file") Deno.writeTextFileSync(made, "");
  return fstabLine("overlay", parent, "overlay", `ro,lowerdir=/.ambientd/pod/${name}:${parent}`);
}

async function handshake(
  reader: ReadableStreamDefaultReader<Uint8Array>,
): Promise<{ pid?: number; rest: Uint8Array }> {
  let seen = new Uint8Array(0);
  for (;;) {
    const end = seen.indexOf(NEWLINE);
    if (end > 0 && seen[0] === HANDSHAKE) {
      return { pid: Number(new TextDecoder().decode(seen.subarray(1, end))), rest: seen.subarray(end + 1) };
    }
    const { value, done } = await reader.read();
    if (done) return { rest: seen };
    const next = new Uint8Array(seen.length + value.length);
    next.set(seen);
    next.set(value, seen.length);
    seen = next;
  }
}

async function drain(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  sink: (chunk: Uint8Array) => void,
): Promise<void> {
  try {
    for (let part; !(part = await reader.read()).done;) sink(part.value);
  } catch {
    // The pipe was given up.
  }
}

/** Ends orphans that share the container's mount namespace, and what they leave in turn. */
function killLeftovers(sandbox: Sandbox, mountNamespace: string): void {
  for (let round = 0; round < 20; round++) {
    const orphans = orphansOf(sandbox).filter((pid) => link(`/proc/${pid}/ns/mnt`) === mountNamespace);
    if (orphans.length === 0) return;
    for (const pid of orphans) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // Ended meanwhile.
      }
    }
  }
}

function orphansOf(sandbox: Sandbox): number[] {
  if (!sandbox.hostPID) return childrenOf(sandbox.pid);
  // Without a PID namespace of the pod they belong to the engine's first process.
  return [...Deno.readDirSync("/proc")].map((entry) => Number(entry.name)).filter((pid) => pid > 1);
}

function link(path: string): string | undefined {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return undefined;
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => Deno.unrefTimer(setTimeout(resolve, ms)));
}
