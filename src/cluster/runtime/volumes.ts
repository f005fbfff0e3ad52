import { describeError, MeshError } from "../../core/errors.ts";
import type { ClusterApi, KubeObject, TokenIssuer } from "../contracts.ts";
import { dataOf, fieldValue, type PodFacts, resourceValue } from "./references.ts";
import { normalise } from "./root_fs.ts";
import type { HostPathBind } from "./sandbox.ts";

/** A volume cannot be set up (yet); the pod waits in ContainerCreating and the event FailedMount tells why. */
export class VolumeError extends MeshError<"volume"> {
  constructor(message: string, cause?: unknown) {
    super("volume", message, { retryable: true, cause });
    this.name = "VolumeError";
  }
}

export interface VolumeSources {
  api: ClusterApi;
  tokens: TokenIssuer;
  now: () => number;
}

/** One file of a volume. */
interface Entry {
  bytes: Uint8Array;
  mode: number;
}

/** The volumes of one pod, as folders below `<pod>/volumes`. */
export class PodVolumes {
  readonly hostPaths: HostPathBind[] = [];
  readonly #facts: () => PodFacts;
  readonly #dir: string;
  readonly #nodeFs: string;
  readonly #sources: VolumeSources;
  readonly #written = new Map<string, string>();
  readonly #tokens = new Map<string, { token: string; refreshAt: number }>();

  constructor(podDir: string, nodeFs: string, facts: () => PodFacts, sources: VolumeSources) {
    this.#dir = `${podDir}/volumes`;
    this.#nodeFs = nodeFs;
    this.#facts = facts;
    this.#sources = sources;
  }

  get #specs(): any[] {
    return this.#facts().pod.spec?.volumes ?? [];
  }

  /** Whether the pod uses this ConfigMap or Secret in a volume. */
  uses(kind: "ConfigMap" | "Secret", name: string): boolean {
    return this.#specs.some((volume) =>
      [volume, ...(volume.projected?.sources ?? [])].some((source: any) =>
        kind === "ConfigMap"
          ? source.configMap?.name === name
          : source.secret?.secretName === name || source.secret?.name === name
      )
    );
  }

  /** When a token has to be replaced next, in milliseconds since the epoch; Infinity without tokens. */
  get refreshAt(): number {
    return Math.min(Infinity, ...[...this.#tokens.values()].map((entry) => entry.refreshAt));
  }

  /**
   * Sets up every volume. May be called again: what has not changed is left alone.
   *
   * @throws VolumeError
   */
  async prepare(): Promise<void> {
    Deno.mkdirSync(this.#dir, { recursive: true, mode: 0o755 });
    this.hostPaths.length = 0;
    for (const volume of this.#specs) await this.#prepare(volume);
  }

  /** Writes the current contents of ConfigMaps, Secrets, tokens and fields again where they changed. */
  async refresh(): Promise<void> {
    for (const volume of this.#specs) {
      if (volume.hostPath || volume.emptyDir || volume.persistentVolumeClaim || volume.ephemeral) continue;
      try {
        await this.#prepare(volume);
      } catch (error) {
        // As in the kubelet the last good contents stay.
        if (!(error instanceof VolumeError)) throw error;
      }
    }
  }

  async #prepare(volume: any): Promise<void> {
    const dir = `${this.#dir}/${volume.name}`;
    if (volume.hostPath) return this.#hostPath(volume.name, volume.hostPath, dir);
    Deno.mkdirSync(dir, { recursive: true, mode: 0o755 });
    if (volume.configMap) {
      return this.#write(volume.name, dir, this.#objectEntries("ConfigMap", volume.configMap.name, volume.configMap));
    }
    if (volume.secret) {
      return this.#write(volume.name, dir, this.#objectEntries("Secret", volume.secret.secretName, volume.secret));
    }
    if (volume.downwardAPI) return this.#write(volume.name, dir, this.#downward(volume.downwardAPI, 0o644));
    if (volume.projected) return this.#write(volume.name, dir, await this.#projected(volume.name, volume.projected));
    if (volume.persistentVolumeClaim) return this.#claim(volume.name, volume.persistentVolumeClaim.claimName, dir);
    // emptyDir, and whatever else only needs room: nothing here outlives the pod.
    if (volume.emptyDir || volume.ephemeral || Object.keys(volume).length === 1) return Deno.chmodSync(dir, 0o777);
    const kind = Object.keys(volume).find((key) => key !== "name");
    throw new VolumeError(`volume "${volume.name}" is of kind "${kind}", which the embedded cluster does not have`);
  }

  #hostPath(name: string, { path, type = "" }: { path: string; type?: string }, dir: string): void {
    const at = normalise(path);
    if (path.split("/").includes("..")) throw new VolumeError(`hostPath "${path}" must not contain ".."`);
    let file = false;
    if (at !== "/proc" && !at.startsWith("/proc/")) {
      const source = this.#nodeFs + at;
      file = ensureHostPath(this.#nodeFs, source, path, type);
    }
    if (file) Deno.writeTextFileSync(dir, "", { append: true });
    else Deno.mkdirSync(dir, { recursive: true, mode: 0o755 });
    this.hostPaths.push({ volume: name, path: at, file });
  }

  /** Claims are folders of the node, kept for as long as the cluster's data directory. */
  #claim(name: string, claim: string, dir: string): void {
    const namespace = this.#facts().pod.metadata.namespace!;
    if (!this.#sources.api.get({ group: "", resource: "persistentvolumeclaims" }, namespace, claim)) {
      throw new VolumeError(`persistentvolumeclaim "${claim}" not found`);
    }
    const path = `/var/lib/ambientd/claims/${namespace}/${claim}`;
    Deno.mkdirSync(this.#nodeFs + path, { recursive: true, mode: 0o777 });
    Deno.chmodSync(this.#nodeFs + path, 0o777);
    Deno.mkdirSync(dir, { recursive: true });
    this.hostPaths.push({ volume: name, path, file: false });
  }

  #objectEntries(kind: "ConfigMap" | "Secret", name: string, spec: any): Map<string, Entry> {
    const namespace = this.#facts().pod.metadata.namespace!;
    const resource = kind === "ConfigMap" ? "configmaps" : "secrets";
    const object = this.#sources.api.get({ group: "", resource }, namespace, name);
    if (!object) {
      if (spec.optional) return new Map();
      throw new VolumeError(`references non-existent ${kind.toLowerCase()}: ${kind.toLowerCase()} "${name}" not found`);
    }
    return pick(dataOf(object), spec, spec.defaultMode ?? 0o644, `${kind.toLowerCase()} "${name}"`);
  }

  #downward(spec: any, fallback: number): Map<string, Entry> {
    const entries = new Map<string, Entry>();
    const facts = this.#facts();
    for (const { path, fieldRef, resourceFieldRef, mode } of spec.items ?? []) {
      const value = fieldRef ? fieldValue(facts, fieldRef.fieldPath) : resourceValue(facts, resourceFieldRef);
      if (value === undefined) throw new VolumeError(`cannot read the field of downward API file "${path}"`);
      entries.set(checkedPath(path), {
        bytes: new TextEncoder().encode(value),
        mode: mode ?? spec.defaultMode ?? fallback,
      });
    }
    return entries;
  }

  async #projected(volume: string, spec: any): Promise<Map<string, Entry>> {
    const all = new Map<string, Entry>();
    for (const [index, source] of (spec.sources ?? []).entries()) {
      const inherited = { defaultMode: spec.defaultMode ?? 0o644 };
      let entries = new Map<string, Entry>();
      if (source.configMap) {
        entries = this.#objectEntries("ConfigMap", source.configMap.name, { ...inherited, ...source.configMap });
      } else if (source.secret) {
        entries = this.#objectEntries("Secret", source.secret.name, { ...inherited, ...source.secret });
      } else if (source.downwardAPI) entries = this.#downward({ ...inherited, ...source.downwardAPI }, 0o644);
      else if (source.serviceAccountToken) {
        const token = await this.#token(`${volume}/${index}`, source.serviceAccountToken);
        const bytes = new TextEncoder().encode(token);
        entries.set(checkedPath(source.serviceAccountToken.path), { bytes, mode: spec.defaultMode ?? 0o644 });
      } else if (!source.clusterTrustBundle) throw new VolumeError(`volume "${volume}" projects an unknown source`);
      for (const [path, entry] of entries) all.set(path, entry);
    }
    return all;
  }

  /** The kubelet's habit: a new token at 80 % of the lifetime, or after a day. */
  async #token(key: string, { audience, expirationSeconds = 3600 }: any): Promise<string> {
    const held = this.#tokens.get(key), now = this.#sources.now();
    if (held && now < held.refreshAt) return held.token;
    const { pod, nodeName } = this.#facts();
    const node = this.#sources.api.get({ group: "", resource: "nodes" }, undefined, nodeName);
    try {
      const { token, expirationTimestamp } = await this.#sources.tokens.issue({
        namespace: pod.metadata.namespace!,
        serviceAccount: pod.spec?.serviceAccountName ?? "default",
        audiences: audience ? [audience] : [],
        expirationSeconds,
        pod: { name: pod.metadata.name, uid: pod.metadata.uid! },
        ...(node ? { node: { name: nodeName, uid: node.metadata.uid! } } : {}),
      });
      const lifetime = Date.parse(expirationTimestamp) - now;
      this.#tokens.set(key, { token, refreshAt: now + Math.min(0.8 * lifetime, 24 * 3600_000) });
      return token;
    } catch (error) {
      throw new VolumeError(`failed to fetch token: ${describeError(error)}`, error);
    }
  }

  /** Replaces the files of a volume in one step: the names are links through `..data`, which is renamed over. */
  #write(name: string, dir: string, entries: Map<string, Entry>): void {
    const print = [...entries].map(([path, { bytes, mode }]) => `${path}\0${mode}\0${bytes.join(",")}`).sort().join(
      "\n",
    );
    if (this.#written.get(name) === print) return;
    const stamp = `..${new Date(this.#sources.now()).toISOString().replaceAll(/[-:.TZ]/g, "_")}${
      Math.random().toString(36).slice(2, 8)
    }`;
    Deno.mkdirSync(`${dir}/${stamp}`, { mode: 0o755 });
    const group = this.#facts().pod.spec?.securityContext?.fsGroup;
    for (const [path, { bytes, mode }] of entries) {
      const at = `${dir}/${stamp}/${path}`;
      Deno.mkdirSync(at.slice(0, at.lastIndexOf("/")), { recursive: true, mode: 0o755 });
      Deno.writeFileSync(at, bytes);
      Deno.chmodSync(at, group === undefined ? mode : mode | 0o040);
      if (group !== undefined) giveTo(at, group);
    }
    const old = readLink(`${dir}/..data`);
    Deno.symlinkSync(stamp, `${dir}/..data_tmp`);
    Deno.renameSync(`${dir}/..data_tmp`, `${dir}/..data`);
    const tops = new Set([...entries.keys()].map((path) => path.split("/")[0]));
    for (const top of tops) if (!readLink(`${dir}/${top}`)) Deno.symlinkSync(`..data/${top}`, `${dir}/${top}`);
    for (const { name: present } of [...Deno.readDirSync(dir)]) {
      if (!present.startsWith("..") && !tops.has(present)) Deno.removeSync(`${dir}/${present}`);
    }
    if (old && old !== stamp) Deno.removeSync(`${dir}/${old}`, { recursive: true });
    this.#written.set(name, print);
  }
}

/** The keys of a ConfigMap or Secret that a volume shows, by path. */
function pick(data: Map<string, Uint8Array>, spec: any, defaultMode: number, what: string): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  if (!spec.items) {
    for (const [key, bytes] of data) entries.set(checkedPath(key), { bytes, mode: defaultMode });
    return entries;
  }
  for (const { key, path, mode } of spec.items) {
    const bytes = data.get(key);
    if (bytes) entries.set(checkedPath(path), { bytes, mode: mode ?? defaultMode });
    else if (!spec.optional) throw new VolumeError(`${what} references non-existent key: ${key}`);
  }
  return entries;
}

/** A path inside a volume: relative, without `..`, as the API demands. */
function checkedPath(path: string): string {
  if (!path || path.startsWith("/") || path.split("/").includes("..") || path.startsWith("..")) {
    throw new VolumeError(`"${path}" is not a path inside a volume`);
  }
  return path;
}

/** Makes or checks a hostPath in the node's file system; returns whether it is a file. */
function ensureHostPath(root: string, source: string, path: string, type: string): boolean {
  let info: Deno.FileInfo | undefined;
  try {
    // A link that a pod made must not lead out of the node's files.
    const real = Deno.realPathSync(source);
    if (real !== Deno.realPathSync(root) && !real.startsWith(Deno.realPathSync(root) + "/")) {
      throw new VolumeError(`hostPath "${path}" leads out of the node's files`);
    }
    info = Deno.statSync(source);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const isFile = type === "File" || type === "FileOrCreate" || type === "Socket" || type.endsWith("Device");
  if (info) {
    if (isFile && info.isDirectory) throw new VolumeError(`hostPath type check failed: ${path} is not a file`);
    if (type.startsWith("Directory") && !info.isDirectory) {
      throw new VolumeError(`hostPath type check failed: ${path} is not a directory`);
    }
    return !info.isDirectory;
  }
  if (type === "File" || type === "Socket" || type.endsWith("Device")) {
    throw new VolumeError(`hostPath type check failed: ${path} does not exist`);
  }
  // A node starts empty, so folders that a real machine would have are made, whatever the type says.
  const parent = isFile ? source.slice(0, source.lastIndexOf("/")) : source;
  let existing = parent;
  while (!present(existing)) existing = existing.slice(0, existing.lastIndexOf("/"));
  const real = Deno.realPathSync(existing), top = Deno.realPathSync(root);
  if (real !== top && !real.startsWith(top + "/")) {
    throw new VolumeError(`hostPath "${path}" leads out of the node's files`);
  }
  Deno.mkdirSync(parent, { recursive: true, mode: 0o755 });
  if (isFile) Deno.writeTextFileSync(source, "");
  return isFile;
}

function present(path: string): boolean {
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

function giveTo(path: string, group: number): void {
  try {
    Deno.chownSync(path, null, group);
  } catch {
    // The user namespace lacks the group; the one user there is may read the file anyway.
  }
}

/** Where a container's volumeMounts lead, as mounts below the pod's folder. */
export function containerMounts(podDir: string, pod: KubeObject, container: any, env: Record<string, string>): {
  source: string;
  target: string;
  readOnly: boolean;
  kind: "folder" | "file";
  recursive: boolean;
}[] {
  const expandPath = (text: string) =>
    text.replace(/\$\(([A-Za-z_][A-Za-z0-9_]*)\)/g, (whole, name) => env[name] ?? whole);
  return (container.volumeMounts ?? []).map((mount: any) => {
    const volume = (pod.spec?.volumes ?? []).find((one: any) => one.name === mount.name);
    if (!volume) {
      throw new VolumeError(`container "${container.name}" mounts volume "${mount.name}", which the pod lacks`);
    }
    const sub = mount.subPathExpr ? expandPath(mount.subPathExpr) : mount.subPath ?? "";
    if (sub.startsWith("/") || sub.split("/").includes("..")) {
      throw new VolumeError(`subPath "${sub}" must stay in its volume`);
    }
    const source = `volumes/${mount.name}${sub ? "/" + sub : ""}`, at = `${podDir}/${source}`;
    // What a hostPath holds is seen only inside the pod: its kind is that of the volume, its subPath a folder.
    if (sub && volume.emptyDir && !present(at)) Deno.mkdirSync(at, { recursive: true, mode: 0o777 });
    const generated = volume.configMap || volume.secret || volume.projected || volume.downwardAPI;
    return {
      source,
      target: mount.mountPath,
      readOnly: mount.readOnly === true || Boolean(generated),
      kind: isFile(at) ? "file" : "folder",
      recursive: Boolean(volume.hostPath),
    };
  });
}

function isFile(path: string): boolean {
  try {
    return !Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
