// A cluster for end-to-end tests, run by the real `ambientd up` in a home and a data directory of its own, and reached
// over its API the way a user's tools reach it.

import { parseAllDocuments, parseDocument } from "yaml";
import { type ClusterLayout, clusterLayout, isRunning, readRunState, type RunState } from "../../src/cluster/layout.ts";
import { selfCommand } from "../../src/core/self.ts";
import { execInPod, type ExecResult } from "../../src/roles/ctl/exec.ts";
import { KubeApiError, KubeClient, type KubeJson } from "../../src/roles/ctl/kube.ts";
import { podRequest } from "../../src/roles/ctl/port_forward.ts";
import type { TourContext } from "../../src/roles/tour/context.ts";
import { readyPods } from "../../src/roles/up/samples.ts";
import { type AccessLine, allAccessLines } from "../../src/roles/up/ztunnel_view.ts";
import { eventually } from "./eventually.ts";

/** Why a cluster cannot run here, for a test's name; undefined where it can. */
export const NO_CLUSTER: string | undefined = (() => {
  if (Deno.build.os !== "linux") return `needs Linux, this is ${Deno.build.os}`;
  try {
    const user = Deno.uid() === 0 ? [] : ["--user", "--map-root-user"];
    const { success, stderr } = new Deno.Command("unshare", {
      args: [...user, "--mount", "--pid", "--net", "--fork", "true"],
    }).outputSync();
    if (!success) return `cannot make namespaces: ${new TextDecoder().decode(stderr).trim()}`;
  } catch (error) {
    return `cannot run unshare: ${(error as Error).message}`;
  }
  return undefined;
})();

export interface ClusterOptions {
  name?: string;
  nodes?: number;
  mesh?: "ambient" | "none";
  samples?: "bookinfo" | "none";
  /** More flags of `up`. */
  flags?: string[];
}

/** What a command of the CLI did. */
export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process as this machine sees it. */
export interface HostProcess {
  readonly pid: number;
  readonly command: string;
}

const START_TIMEOUT_MS = 120_000;
let serial = 0;

/** A folder that stands for a user's machine: home, kubeconfig and data directories; removed by `close`. */
export class TestHome {
  readonly dir = Deno.makeTempDirSync({ prefix: "e2e-" });
  readonly kubeconfig = `${this.dir}/kubeconfig`;

  /** The environment of every command, with a HOME in which tests can leave nothing behind. */
  get env(): Record<string, string> {
    return { HOME: this.dir, XDG_STATE_HOME: `${this.dir}/state`, KUBECONFIG: this.kubeconfig, DENO_DIR: DENO_DIR };
  }

  /** A client with the credentials of a cluster's context. */
  client(name: string): KubeClient {
    const config = parseDocument(Deno.readTextFileSync(this.kubeconfig)).toJS();
    const entry = (list: string) => config[list].find((item: KubeJson) => item.name === `ambientd-${name}`);
    const { server, "certificate-authority-data": ca } = entry("clusters").cluster;
    const { "client-certificate-data": cert, "client-key-data": key } = entry("users").user;
    return new KubeClient({ server, caPem: atob(ca), clientCertPem: atob(cert), clientKeyPem: atob(key) });
  }

  layout(name: string): ClusterLayout {
    return clusterLayout(name, undefined, (key) => this.env[key]);
  }

  /** Runs `ambientd` with these arguments to its end. */
  async cli(args: string[], options: { timeoutMs?: number } = {}): Promise<CliResult> {
    const [program, ...rest] = selfOf(args);
    const { code, stdout, stderr } = await new Deno.Command(program, {
      args: rest,
      env: this.env,
      stdin: "null",
      signal: AbortSignal.timeout(options.timeoutMs ?? START_TIMEOUT_MS),
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  }

  close(): void {
    Deno.removeSync(this.dir, { recursive: true });
  }
}

/** This checkout's `ambientd`, or what `AMBIENTD` says, such as the path of a compiled executable. */
export function selfOf(args: string[]): string[] {
  const other = Deno.env.get("AMBIENTD");
  return other ? [...other.split(" "), ...args] : selfCommand(args);
}

/** Deno's cache must stay the user's: a home without one would be filled anew. */
const DENO_DIR = Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME") ?? "/root"}/.cache/deno`;

/** A running cluster. Close it whatever happens: `await using cluster = await TestCluster.start({ … })`. */
export class TestCluster implements AsyncDisposable {
  readonly home: TestHome;
  readonly name: string;
  readonly client: KubeClient;
  readonly state: RunState;
  /** What `up` printed, and how long it took. */
  readonly output: string;
  readonly startedInMs: number;

  private constructor(home: TestHome, name: string, state: RunState, client: KubeClient, output: string, ms: number) {
    this.home = home;
    this.name = name;
    this.state = state;
    this.client = client;
    this.output = output;
    this.startedInMs = ms;
  }

  /** Runs `up --detach` and waits until everything asked for is ready. Throws with the output and logs when it fails. */
  static async start(options: ClusterOptions = {}): Promise<TestCluster> {
    const home = new TestHome();
    const name = options.name ?? `e2e-${Deno.pid}-${serial++}`;
    const since = performance.now();
    try {
      const result = await home.cli([
        "up",
        "--detach",
        `--name=${name}`,
        `--nodes=${options.nodes ?? 2}`,
        `--mesh=${options.mesh ?? "ambient"}`,
        `--samples=${options.samples ?? "none"}`,
        ...options.flags ?? [],
      ]);
      const layout = home.layout(name);
      const state = readRunState(layout);
      if (result.code !== 0 || !state) {
        throw new Error(
          `\`up\` ended with code ${result.code}\n${result.stdout}${result.stderr}\n${tailOf(layout.engineLog)}`,
        );
      }
      return new TestCluster(home, name, state, home.client(name), result.stdout, performance.now() - since);
    } catch (error) {
      await home.cli(["down", `--name=${name}`]).catch(() => {});
      home.close();
      throw error;
    }
  }

  get layout(): ClusterLayout {
    return this.home.layout(this.name);
  }

  /** For the helpers of the tour, which tests share. */
  get tour(): TourContext {
    return {
      client: this.client,
      kubeconfig: this.home.kubeconfig,
      signal: new AbortController().signal,
      notes: new Map(),
    };
  }

  /** Runs `down` and removes the home. Throws when a process of the cluster is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    try {
      const { code, stderr } = await this.home.cli(["down", `--name=${this.name}`]);
      if (code !== 0) throw new Error(`\`down\` ended with code ${code}: ${stderr}`);
      const left = this.processes();
      if (left.length > 0) throw new Error(`after \`down\` there still run ${JSON.stringify(left)}`);
    } finally {
      this.home.close();
    }
  }

  /** The ready pods of a namespace that match a label selector. */
  pods(labelSelector: string, namespace = "default"): Promise<KubeJson[]> {
    return readyPods(this.client, namespace, labelSelector);
  }

  /** The first ready pod with `app=<app>`. */
  async pod(app: string, namespace = "default"): Promise<KubeJson> {
    const [pod] = await this.pods(`app=${app}`, namespace);
    if (!pod) throw new Error(`no pod of ${app} is ready in namespace ${namespace}`);
    return pod;
  }

  /** `kubectl exec deploy/<app> -- <command>`. */
  async exec(app: string, command: string[], namespace = "default"): Promise<ExecResult> {
    const pod = await this.pod(app, namespace);
    return await execInPod(this.client, { namespace, pod: pod.metadata.name }, command);
  }

  /** A request by curl from a pod; `-s -m 10` unless other flags are given. */
  curl(app: string, url: string, options: { namespace?: string; flags?: string[] } = {}): Promise<ExecResult> {
    return this.exec(app, ["curl", "-s", "-m", "10", ...options.flags ?? [], url], options.namespace);
  }

  /** `kubectl label namespace <namespace> <key>=<value>`; null removes the label. */
  async label(namespace: string, labels: Record<string, string | null>): Promise<void> {
    await this.client.request("PATCH", `/api/v1/namespaces/${namespace}`, {
      body: { metadata: { labels } },
      contentType: "application/merge-patch+json",
    });
  }

  /** Applies YAML text or objects by server-side apply, in order; returns the objects. */
  async apply(manifest: string | KubeJson[], namespace = "default"): Promise<KubeJson[]> {
    const objects = typeof manifest === "string" ? parseYaml(manifest, namespace) : manifest;
    for (const object of objects) await this.client.apply(object);
    return objects;
  }

  async applyFile(path: string, namespace = "default"): Promise<KubeJson[]> {
    return await this.apply(await Deno.readTextFile(path), namespace);
  }

  /** Deletes objects; waits until they are gone. */
  async remove(objects: KubeJson[]): Promise<void> {
    for (const object of objects) await this.client.delete(object);
    await eventually(async () => {
      for (const { apiVersion, kind, metadata } of objects) {
        const left = await this.client.get(apiVersion, kind, metadata.namespace, metadata.name);
        if (left) throw new Error(`${kind} ${metadata.name} is still there`);
      }
    }, 30_000);
  }

  async logs(pod: KubeJson, query: Record<string, string> = {}): Promise<string> {
    const path = `/api/v1/namespaces/${pod.metadata.namespace}/pods/${pod.metadata.name}/log`;
    return String(await this.client.request("GET", path, { query }));
  }

  /** The ztunnels' access-log lines since a moment. */
  accessLines(since: Date): Promise<AccessLine[]> {
    return allAccessLines(this.client, since);
  }

  /** `GET` of a path on a pod's port, through the API server. */
  async get(pod: KubeJson, port: number, path: string): Promise<string> {
    const response = await podRequest(this.client, pod.metadata.namespace, pod.metadata.name, port, "GET", path);
    if (response.status !== 200) throw new Error(`GET ${path} of ${pod.metadata.name} answered ${response.status}`);
    return response.body;
  }

  /** Waits until the Events or state of the cluster satisfy `check`. */
  until<T>(check: () => Promise<T>, deadlineMs = 30_000): Promise<T> {
    return eventually(check, deadlineMs);
  }

  /** The processes of the cluster, pods included, seen from this machine; empty after `down`. */
  processes(): HostProcess[] {
    return processesWhere((pid, command) =>
      command.includes(this.home.dir) || read(`/proc/${pid}/mountinfo`).includes(this.layout.dataDir)
    );
  }

  /** The processes of one pod, found by the folder of its UID among their mounts. */
  processesOf(pod: KubeJson): HostProcess[] {
    return processesWhere((pid) => read(`/proc/${pid}/mountinfo`).includes(`/pods/${pod.metadata.uid}/`));
  }

  /** Kills the processes of a pod whose command line matches, not those that hold its namespaces; returns how many. */
  kill(pod: KubeJson, command: RegExp, signal: Deno.Signal = "SIGKILL"): number {
    const found = this.processesOf(pod).filter((process) =>
      command.test(process.command) && !/^\S*(nsenter|unshare) /.test(process.command)
    );
    for (const { pid } of found) Deno.kill(pid, signal);
    return found.length;
  }

  /** Whether `up` and its engine still run. */
  get alive(): boolean {
    return isRunning(this.state.pid, this.state.startTime) &&
      isRunning(this.state.enginePid, this.state.engineStartTime);
  }
}

/** Objects of a YAML text; those without a namespace get `namespace`, but for cluster-scoped kinds. */
export function parseYaml(text: string, namespace: string): KubeJson[] {
  const clusterScoped = new Set(["Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"]);
  return parseAllDocuments(text).map((doc) => doc.toJS()).filter((object) => object !== null)
    .map((object) =>
      clusterScoped.has(object.kind) ? object : { ...object, metadata: { namespace, ...object.metadata } }
    );
}

/** The API's refusal of a request, or an error that says it was accepted. */
export async function refusal(request: Promise<unknown>): Promise<KubeApiError> {
  try {
    await request;
  } catch (error) {
    if (error instanceof KubeApiError) return error;
    throw error;
  }
  throw new Error("the API accepted what it should refuse");
}

function processesWhere(matches: (pid: number, command: string) => boolean): HostProcess[] {
  const found: HostProcess[] = [];
  for (const entry of Deno.readDirSync("/proc")) {
    const pid = Number(entry.name);
    if (!Number.isInteger(pid) || pid === Deno.pid) continue;
    const command = read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
    // A process without a command line is a kernel thread, or a zombie that its parent has yet to reap.
    if (command !== "" && matches(pid, command)) found.push({ pid, command });
  }
  return found;
}

/** The text of a file of /proc, which may vanish at any time. */
function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

function tailOf(path: string): string {
  return `${path}:\n${read(path).split("\n").slice(-40).join("\n")}`;
}
