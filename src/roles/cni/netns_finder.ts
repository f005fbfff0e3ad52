import { MeshError } from "../../core/errors.ts";

/** Where a pod's network namespace is: a path in the node's /proc, and the inode that names it. */
export interface FoundNetns {
  readonly path: string;
  readonly inode: number;
}

const CGROUP_POD = /pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})/;
const HOSTS_MOUNT = /\/pods\/([^/\s]+)\/etc-hosts \/etc\/hosts /;

/** The pod a process belongs to, by its cgroup, else by the file that is mounted on its /etc/hosts. */
export function podUidOf(cgroup: string, mountinfo: () => string): string | undefined {
  const byCgroup = CGROUP_POD.exec(cgroup)?.[1].replaceAll("_", "-");
  return byCgroup ?? HOSTS_MOUNT.exec(mountinfo())?.[1];
}

interface Candidate {
  readonly pid: string;
  readonly inode: number;
}

/**
 * Finds pods' network namespaces by looking through the processes of the node. One pass serves everybody who asks while
 * it runs or waits: two hundred pods that join at once cost a few passes, not two hundred.
 */
export class NetnsFinder {
  readonly #proc: string;
  #next: Promise<ReadonlyMap<string, FoundNetns>> | undefined;
  #running: Promise<unknown> = Promise.resolve();
  /** Namespaces whose pod is known; an inode is not used again while its namespace lives. */
  #known: ReadonlyMap<number, string> = new Map();

  /** @param proc the node's /proc, e.g. `/host/proc` */
  constructor(proc: string) {
    this.#proc = proc;
  }

  /**
   * The namespace of a pod.
   *
   * @throws MeshError `netns_not_found`, worth a retry: its processes may not have started yet
   */
  async find(uid: string): Promise<FoundNetns> {
    const found = (await this.scan()).get(uid);
    if (found) return found;
    throw new MeshError("netns_not_found", `no process of pod "${uid}" is to be seen in "${this.#proc}"`, {
      retryable: true,
    });
  }

  /** Every pod's namespace as of a pass that began after this call. */
  scan(): Promise<ReadonlyMap<string, FoundNetns>> {
    return this.#next ??= this.#begin();
  }

  async #begin(): Promise<ReadonlyMap<string, FoundNetns>> {
    // Those who ask while an earlier pass runs share the one that follows it.
    await this.#running;
    this.#next = undefined;
    const pass = this.#pass();
    this.#running = pass.catch(() => {});
    return await pass;
  }

  async #pass(): Promise<ReadonlyMap<string, FoundNetns>> {
    // The agent's own children enter pods' namespaces: they must not pass for the pods.
    const own = await this.#podOf("self");
    const skip = new Set([await this.#inode("self").catch(() => 0), await this.#inode("1").catch(() => 0)]);
    const seen = new Map<number, string>();
    const pods = new Map<string, Candidate[]>();
    for await (const entry of Deno.readDir(this.#proc)) {
      if (!/^\d+$/.test(entry.name)) continue;
      const inode = await this.#inode(entry.name).catch(() => 0);
      // 0: the process ended while being looked at.
      if (inode === 0 || skip.has(inode) || seen.has(inode)) continue;
      const uid = this.#known.get(inode) ?? await this.#podOf(entry.name);
      if (uid === undefined || uid === own) continue;
      seen.set(inode, uid);
      const candidate = { pid: entry.name, inode };
      const others = pods.get(uid);
      if (others) others.push(candidate);
      else pods.set(uid, [candidate]);
    }
    this.#known = seen;
    const found = new Map<string, FoundNetns>();
    for (const [uid, candidates] of pods) {
      const { pid, inode } = candidates.length === 1 ? candidates[0] : await this.#oldest(candidates);
      found.set(uid, { path: `${this.#proc}/${pid}/ns/net`, inode });
    }
    return found;
  }

  /** A container may make namespaces of its own: the pod's is that of its oldest process. */
  async #oldest(candidates: readonly Candidate[]): Promise<Candidate> {
    const started = await Promise.all(candidates.map(({ pid }) => this.#started(pid)));
    return candidates[started.indexOf(Math.min(...started))];
  }

  async #inode(pid: string): Promise<number> {
    const link = await Deno.readLink(`${this.#proc}/${pid}/ns/net`);
    return Number(/\[(\d+)\]/.exec(link)?.[1] ?? NaN);
  }

  async #podOf(pid: string): Promise<string | undefined> {
    const read = (file: string) => Deno.readTextFile(`${this.#proc}/${pid}/${file}`);
    const cgroup = await read("cgroup").catch(() => "");
    const mounts = CGROUP_POD.test(cgroup) ? "" : await read("mountinfo").catch(() => "");
    return podUidOf(cgroup, () => mounts);
  }

  /** Clock ticks since boot; field 22 of stat, counted after the command's closing parenthesis. */
  async #started(pid: string): Promise<number> {
    const stat = await Deno.readTextFile(`${this.#proc}/${pid}/stat`).catch(() => "");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? Infinity);
  }
}
