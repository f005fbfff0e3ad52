import { describeError, MeshError } from "../../core/errors.ts";
import { firstReport, fstabLine, mustRun, run, tool } from "./host.ts";

/** Top-level folders of the host that hold programs: pods see them read-only. Everything else of the host stays out. */
const PROGRAM_FOLDERS = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "gnu"];

/** What programs expect of /etc and anybody may read. An allow-list: a host keeps its secrets in the rest. */
const ETC = `
  alternatives alpine-release bash.bashrc ca-certificates ca-certificates.conf crypto-policies debian_version ethertypes
  fedora-release gai.conf group host.conf iproute2 inputrc issue ld.so.cache ld.so.conf ld.so.conf.d localtime lsb-release
  magic mime.types netconfig networks nsswitch.conf os-release passwd perl pki/ca-trust pki/tls/certs pki/tls/cert.pem
  pki/tls/openssl.cnf profile protocols redhat-release rpc services shells ssl/certs ssl/cert.pem ssl/openssl.cnf static
  system-release terminfo timezone xattr.conf`.trim().split(/\s+/);

const DEVICES = ["null", "zero", "full", "random", "urandom", "tty"];

/** Folders that are a container's own and empty at its start. */
export const SCRATCH: readonly { path: string; mode: string }[] = [
  { path: "/tmp", mode: "1777" },
  { path: "/run", mode: "0755" },
  { path: "/var/tmp", mode: "1777" },
];

export interface RootFsOptions {
  /** The cluster's data directory; only its `nodes` folder is reachable while a pod is being set up. */
  dataDir: string;
  /** Files and folders needed to run ambientd (checkout, Deno, its cache), shown read-only where `assetPath` says. */
  assets: readonly string[];
  assetPath(path: string): string;
  /** Command line that runs ambientd, for the wrapper on a pod's PATH. */
  self: readonly string[];
  /** Environment that it needs. */
  selfEnv: Readonly<Record<string, string>>;
}

/**
 * The root file system of every pod, prepared once in a mount namespace of its own: a small tmpfs with the host's programs
 * bound read-only, an /etc of harmless files, and devices. A pod starts with a copy of that namespace, so that preparing it
 * costs a handful of mounts. While it is set up, `/.ambientd/host` shows the engine's /proc and the nodes' folders.
 */
export class RootFs {
  /** Holds the mount namespace. */
  readonly pid: number;
  readonly #process: Deno.ChildProcess;
  /** The same tmpfs, writable, in the engine's own namespace. */
  readonly #path: string;
  readonly #nodes: string;
  readonly #readOnly: string[];
  readonly #scripts = new Set<string>();

  private constructor(process: Deno.ChildProcess, path: string, nodes: string, readOnly: string[]) {
    this.#process = process;
    this.pid = process.pid;
    this.#path = path;
    this.#nodes = nodes;
    this.#readOnly = readOnly;
  }

  /** @throws MeshError `root_fs` with the reason of the mount that failed */
  static async create(options: RootFsOptions): Promise<RootFs> {
    const nodes = `${options.dataDir}/nodes`, path = `${options.dataDir}/root`;
    Deno.mkdirSync(nodes, { recursive: true, mode: 0o755 });
    Deno.mkdirSync(path, { recursive: true, mode: 0o755 });
    const mount = tool("mount");
    await mustRun("prepare the pods' root", [mount, "-t", "tmpfs", "-o", "mode=0755,size=64m", "ambientd-root", path]);
    // Shared, so that a network namespace bound below it shows up in pods that mounted the folder before.
    await mustRun("share the nodes' folders", [mount, "--bind", "--make-shared", nodes, nodes]);
    const table = await populate(path, options);
    Deno.writeTextFileSync(`${path}/fstab`, table.map((row) => row.line).join(""));
    const overlay = exists("/usr/local/bin") ? `ro,lowerdir=${path}/opt/ambientd/bin:${path}/usr/local/bin` : "";
    const script = [tool("sh"), "-c", SCRIPT, "ambientd-root", path, nodes, overlay, ...remounts(table)];
    const process = new Deno.Command(tool("unshare"), {
      args: ["--mount", "--propagation", "unchanged", ...script],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      clearEnv: true,
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    }).spawn();
    const { line, said } = await firstReport(process, /^ready$/);
    if (!line) {
      kill(process);
      await process.status;
      throw new MeshError("root_fs", `cannot prepare the pods' root file system: ${said || "the helper ended"}`);
    }
    Deno.removeSync(`${path}/fstab`);
    return new RootFs(process, path, nodes, table.filter((row) => row.readOnly).map((row) => row.target));
  }

  /** Makes a shell script reachable while a pod is being set up; returns its path there. */
  script(name: string, text: string): string {
    if (!this.#scripts.has(name)) {
      Deno.writeTextFileSync(`${this.#path}/.ambientd/${name}.sh`, text);
      this.#scripts.add(name);
    }
    return `/.ambientd/${name}.sh`;
  }

  /** Where a path of a container really lies, symbolic links of the root followed (`/var/run/x` is `/run/x`). */
  resolve(path: string): string {
    let done = "", left = path.split("/").filter((part) => part !== "" && part !== ".");
    for (let steps = 0; left.length > 0; steps++) {
      if (steps > 256 || left.includes("..")) {
        throw new MeshError("root_fs", `cannot use "${path}" as a path in a container`);
      }
      const [part, ...rest] = left;
      const candidate = `${done}/${part}`;
      const target = readLink(this.#readOnlyAt(candidate) ? candidate : this.#path + candidate);
      if (target === undefined) [done, left] = [candidate, rest];
      else if (target.startsWith("/")) [done, left] = ["", [...target.split("/").filter(Boolean), ...rest]];
      else [done, left] = ["", [...normalise(`${done}/${target}`).split("/").filter(Boolean), ...rest]];
    }
    return done === "" ? "/" : done;
  }

  #readOnlyAt(path: string): boolean {
    return this.#readOnly.some((top) => path === top || path.startsWith(top + "/"));
  }

  /**
   * Makes a place to mount something at.
   *
   * @param path as returned by {@linkcode resolve}
   * @returns whether it is there; false when it would lie in a read-only folder of the host that lacks it
   */
  place(path: string, kind: "folder" | "file"): boolean {
    if (this.#readOnlyAt(path)) return exists(path);
    // A container's own tmpfs covers these; the mount itself makes its folder there.
    const covered = [...SCRATCH.map((top) => top.path), "/dev/shm", "/dev/pts"];
    if (covered.some((top) => path === top || path.startsWith(top + "/"))) return true;
    const here = this.#path + path;
    if (exists(here)) return true;
    Deno.mkdirSync(here.slice(0, here.lastIndexOf("/")), { recursive: true, mode: 0o755 });
    if (kind === "folder") Deno.mkdirSync(here, { recursive: true, mode: 0o755 });
    else Deno.writeTextFileSync(here, "", { mode: 0o644 });
    return true;
  }

  async close(): Promise<void> {
    kill(this.#process);
    await this.#process.status;
    await run([tool("umount"), "-l", this.#path, this.#nodes]);
  }
}

interface Row {
  target: string;
  readOnly: boolean;
  line: string;
}

/** Fills the tmpfs and lists what is to be mounted into it. */
async function populate(path: string, options: RootFsOptions): Promise<Row[]> {
  const rows: Row[] = [];
  const folder = (name: string, mode = 0o755) => {
    Deno.mkdirSync(`${path}${name}`, { recursive: true, mode: 0o755 });
    if (mode !== 0o755) Deno.chmodSync(`${path}${name}`, mode);
  };
  const bind = (source: string, target: string, readOnly: boolean) =>
    rows.push({
      target,
      readOnly,
      line: fstabLine(source, path + target, "none", readOnly ? "rbind,ro" : "rbind"),
    });
  for (
    const name of ["/etc", "/dev/pts", "/dev/shm", "/proc", "/sys/devices/system", "/tmp", "/run", "/root", "/home"]
  ) {
    folder(name);
  }
  for (
    const name of ["/var/tmp", "/var/lib", "/var/log", "/var/cache", "/srv", "/mnt", "/opt/cni", "/opt/ambientd/bin"]
  ) {
    folder(name);
  }
  for (
    const name of ["/etc/cni", "/.ambientd/host/proc", "/.ambientd/host/nodes", "/.ambientd/pod", "/.ambientd/proc"]
  ) {
    folder(name);
  }
  folder("/.ambientd/old", 0o700);
  folder("/tmp", 0o1777);
  folder("/var/tmp", 0o1777);
  Deno.symlinkSync("../run", `${path}/var/run`);
  Deno.symlinkSync("../run/lock", `${path}/var/lock`);
  for (const name of PROGRAM_FOLDERS) {
    const link = readLink(`/${name}`);
    if (link !== undefined) Deno.symlinkSync(link, `${path}/${name}`);
    else if (exists(`/${name}`)) {
      folder(`/${name}`);
      bind(`/${name}`, `/${name}`, true);
    }
  }
  for (const name of DEVICES.filter((device) => exists(`/dev/${device}`))) {
    Deno.writeTextFileSync(`${path}/dev/${name}`, "");
    bind(`/dev/${name}`, `/dev/${name}`, false);
  }
  for (const [name, target] of [["fd", ""], ["stdin", "/0"], ["stdout", "/1"], ["stderr", "/2"]]) {
    Deno.symlinkSync(`/proc/self/fd${target}`, `${path}/dev/${name}`);
  }
  Deno.symlinkSync("pts/ptmx", `${path}/dev/ptmx`);
  // What runtimes read to count processors; the rest of /sys is the host's business.
  if (exists("/sys/devices/system")) bind("/sys/devices/system", "/sys/devices/system", true);
  await copyEtc(path);
  wrapper(path, options);
  for (const asset of withoutNested(options.assets)) {
    const target = options.assetPath(asset);
    if (rows.some((row) => row.readOnly && (target + "/").startsWith(row.target + "/"))) continue;
    if (Deno.statSync(asset).isDirectory) folder(target);
    else {
      folder(target.slice(0, target.lastIndexOf("/")));
      Deno.writeTextFileSync(path + target, "");
    }
    bind(asset, target, true);
    if ((options.dataDir + "/").startsWith(asset + "/")) {
      const hidden = target + options.dataDir.slice(asset.length);
      rows.push({
        target: hidden,
        readOnly: true,
        line: fstabLine("tmpfs", path + hidden, "tmpfs", "ro,mode=0755,size=4k"),
      });
    }
  }
  return rows;
}

async function copyEtc(path: string): Promise<void> {
  const byFolder = new Map<string, string[]>();
  for (const name of ETC.filter((file) => exists(`/etc/${file}`))) {
    const parent = name.includes("/") ? name.slice(0, name.lastIndexOf("/")) : "";
    byFolder.set(parent, [...byFolder.get(parent) ?? [], `/etc/${name}`]);
  }
  for (const [parent, sources] of byFolder) {
    const target = `${path}/etc/${parent}`;
    Deno.mkdirSync(target, { recursive: true, mode: 0o755 });
    await mustRun("copy files for the pods' /etc", [tool("cp"), "-RP", ...sources, target]);
  }
  for (const name of ["hosts", "resolv.conf", "hostname"]) Deno.writeTextFileSync(`${path}/etc/${name}`, "");
}

/** The commands of the pods that are ambientd itself: by its name, and those of images that it stands in for. */
function wrapper(path: string, { self, selfEnv }: RootFsOptions): void {
  const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;
  const env = Object.entries(selfEnv).map(([name, value]) => `[ -n "$${name}" ] || export ${name}=${quote(value)}\n`)
    .join(
      "",
    );
  const commands = [
    ["ambientd", self],
    ["ambientd-console", [...self, "console"]],
    ["fortio", [...self, "sample", "fortio"]],
    ["client", [...self, "sample", "echo-client"]], // of gateway-api/echo-advanced
  ] as const;
  for (const [name, words] of commands) {
    const file = `${path}/opt/ambientd/bin/${name}`;
    Deno.writeTextFileSync(file, `#!/bin/sh\n${env}exec ${words.map(quote).join(" ")} "$@"\n`);
    Deno.chmodSync(file, 0o755);
  }
}

/** Mounts of the host below a folder bound read-only: each needs a remount of its own to be read-only too. */
function remounts(table: readonly Row[]): string[] {
  const mounted = Deno.readTextFileSync("/proc/self/mountinfo").split("\n").filter(Boolean).map((line) =>
    line.split(" ")[4].replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)))
  );
  return table.filter((row) => row.readOnly && row.line.includes(" rbind,ro "))
    .flatMap((row) => mounted.filter((at) => at.startsWith(row.target + "/")));
}

/**
 * $1 is the tmpfs, $2 the nodes' folder, $3 the options of the overlay that adds the wrapper to /usr/local/bin (a kernel
 * without overlays in user namespaces leaves it in /opt/ambientd/bin, which is on PATH too), the rest are mounts below
 * read-only folders. The old root is left behind, so that nothing of the host
 * but what the table names can be reached from here.
 */
const SCRIPT = `set -e
cd "$1"
nodes=$2 overlay=$3
shift 3
mount -a -T "$PWD/fstab"
for at; do mount -o remount,bind,ro ".$at"; done
[ -z "$overlay" ] || mount -t overlay -o "$overlay" overlay usr/local/bin 2>/dev/null || :
mount --bind .ambientd .ambientd
mount --bind .ambientd/host .ambientd/host
mount --rbind /proc .ambientd/host/proc
mount --bind "$nodes" .ambientd/host/nodes
mount --rbind /proc proc
pivot_root . .ambientd/old
umount -l /.ambientd/old
mount -o remount,bind,ro /
umount -R -l /proc
echo ready
exec sleep infinity >/dev/null 2>&1
`;

function withoutNested(paths: readonly string[]): string[] {
  const unique = [...new Set(paths.map(normalise))].sort();
  return unique.filter((path) => !unique.some((other) => other !== path && path.startsWith(other + "/")));
}

/** A path without `.`, `..` and doubled slashes; `..` never climbs above the root. */
export function normalise(path: string): string {
  const out: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") out.pop();
    else if (part !== "" && part !== ".") out.push(part);
  }
  return "/" + out.join("/");
}

export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

function readLink(path: string): string | undefined {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return undefined;
  }
}

function kill(process: Deno.ChildProcess): void {
  try {
    process.kill("SIGKILL");
  } catch (error) {
    if (!(error instanceof TypeError)) throw new MeshError("root_fs", describeError(error));
  }
}
