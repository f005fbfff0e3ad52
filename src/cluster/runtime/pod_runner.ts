import { sleep } from "../../core/backoff.ts";
import { describeError } from "../../core/errors.ts";
import { ApiError } from "../api_error.ts";
import type { KubeObject } from "../contracts.ts";
import { addToNetworks } from "./cni.ts";
import { ContainerRunner, type PodHandle } from "./container_runner.ts";
import type { NodeContext } from "./context.ts";
import { podHostname, writePodFiles } from "./pod_files.ts";
import type { PodFacts } from "./references.ts";
import { createSandbox, type Sandbox } from "./sandbox.ts";
import { podStatus } from "./status.ts";
import { PodVolumes, VolumeError } from "./volumes.ts";

const PODS = { group: "", resource: "pods" };

/** Changes within this time are written as one. */
const STATUS_DELAY_MS = 15;

/** Value of the priority class system-node-critical, and the rank of pods in the system's namespaces that have no priority. */
const NODE_CRITICAL = 2_000_001_000, SYSTEM_RANK = 1_000_000_000;

/** Runs one pod from its binding to its end, and writes its status. */
export class PodRunner implements PodHandle {
  readonly dir: string;
  readonly containers: ContainerRunner[];
  readonly #context: NodeContext;
  #pod: KubeObject;
  readonly #volumes: PodVolumes;
  readonly #stopping = new AbortController();
  #sandbox: Sandbox | undefined;
  #ip: string | undefined;
  readonly #startTime: string;
  #statusTimer: ReturnType<typeof setTimeout> | undefined;
  #written = "";
  #failure: { reason: string; message: string } | undefined;
  #done: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #silent = false;
  #deadline: ReturnType<typeof setTimeout> | undefined;

  constructor(context: NodeContext, pod: KubeObject) {
    this.#context = context;
    this.#pod = pod;
    this.dir = `${context.node.dir}/pods/${pod.metadata.uid}`;
    this.#startTime = pod.status?.startTime ?? isoNow();
    Deno.mkdirSync(`${this.dir}/volumes`, { recursive: true, mode: 0o755 });
    this.#volumes = new PodVolumes(this.dir, `${context.node.dir}/fs`, () => this.facts, {
      ...{ api: context.api, tokens: context.tokens, now: () => Date.now() },
    });
    const spec = pod.spec ?? {};
    this.containers = [
      ...(spec.initContainers ?? []).map((one: any) =>
        new ContainerRunner(context, this, one, one.restartPolicy === "Always" ? "sidecar" : "init")
      ),
      ...(spec.containers ?? []).map((one: any) => new ContainerRunner(context, this, one, "main")),
    ];
    // They ran before this engine started, and never run again.
    for (const held of pod.status?.ephemeralContainerStatuses ?? []) {
      const container = (spec.ephemeralContainers ?? []).find((one: any) => one.name === held.name);
      if (!container) continue;
      const runner = new ContainerRunner(context, this, container, "ephemeral"), { record } = runner;
      Object.assign(record, { state: record.lastState, lastState: {}, restartCount: 0 });
      this.containers.push(runner);
    }
  }

  get pod(): KubeObject {
    return this.#pod;
  }

  get uid(): string {
    return this.#pod.metadata.uid!;
  }

  get sandbox(): Sandbox | undefined {
    return this.#sandbox;
  }

  get facts(): PodFacts {
    const { node, allocatable } = this.#context;
    return { pod: this.#pod, podIP: this.#ip, nodeName: node.name, hostIP: node.addresses.fabricIp, allocatable };
  }

  /** When a token of the pod has to be replaced. */
  get refreshAt(): number {
    return this.#volumes.refreshAt;
  }

  event(
    type: "Normal" | "Warning",
    reason: string,
    message: string,
    container?: { name: string; init: boolean },
  ): void {
    this.#context.events.record(this.#pod, type, reason, message, {
      host: this.#context.node.name,
      container: container?.name,
      init: container?.init,
    });
  }

  /** Takes a newer object of the same pod. */
  update(pod: KubeObject): void {
    const before = this.#pod;
    this.#pod = pod;
    const metadata = (object: KubeObject) => JSON.stringify([object.metadata.labels, object.metadata.annotations]);
    if (metadata(before) !== metadata(pod)) void this.refreshVolumes();
    this.#runEphemeral();
    // Readiness gates and the conditions of others count for Ready.
    if ((pod.spec?.readinessGates ?? []).length > 0) this.changed();
  }

  /** Starts the ephemeral containers that have been added, each once. */
  #runEphemeral(): void {
    const sandbox = this.#sandbox;
    if (!sandbox || this.#stopping.signal.aborted || !this.containers.some((one) => one.record.state.running)) return;
    for (const container of this.#pod.spec?.ephemeralContainers ?? []) {
      if (this.containers.some((one) => one.name === container.name)) continue;
      const runner = new ContainerRunner(this.#context, this, container, "ephemeral");
      this.containers.push(runner);
      void runner.run(sandbox, "Never");
    }
  }

  usesObject(kind: "ConfigMap" | "Secret", name: string): boolean {
    return this.#volumes.uses(kind, name);
  }

  /** Something the pod may be waiting for has changed. */
  async refreshVolumes(): Promise<void> {
    this.#wake?.();
    if (this.#sandbox) await this.#volumes.refresh();
  }

  start(): void {
    this.#done = this.#run().catch((error) => {
      this.#context.log.error("a pod's worker failed", {
        pod: this.#label,
        error: describeError(error),
        stack: error?.stack,
      });
    });
  }

  get #label(): string {
    return `${this.#pod.metadata.namespace}/${this.#pod.metadata.name}`;
  }

  async #run(): Promise<void> {
    const signal = this.#stopping.signal;
    this.changed();
    this.#armDeadline();
    for (let first = true; !signal.aborted; first = false) {
      const sandbox = await this.#setUp();
      if (!sandbox) return;
      if (!first) { for (const container of this.containers) container.rearm(); }
      const ended = await this.#runContainers(sandbox);
      if (signal.aborted) return;
      if (ended) break;
      this.event("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
      await this.#tearDown();
    }
    if (signal.aborted) return;
    clearTimeout(this.#deadline);
    // Finished for good: the namespaces go, the logs stay until the pod is deleted.
    await Promise.all(this.containers.map((one) => one.stop(this.#grace)));
    await this.#tearDown();
    this.changed();
  }

  /** `activeDeadlineSeconds`: a pod that takes longer has failed. */
  #armDeadline(): void {
    const seconds = this.#pod.spec?.activeDeadlineSeconds;
    if (seconds === undefined || seconds === null) return;
    const left = Math.max(0, Date.parse(this.#startTime) + seconds * 1000 - Date.now());
    this.#deadline = setTimeout(() => {
      const message = "Pod was active on the node longer than the specified deadline";
      this.#failure = { reason: "DeadlineExceeded", message };
      this.event("Normal", "DeadlineExceeded", message);
      this.stop().then(() => this.writeStatus(), () => {});
    }, Math.min(left, 2 ** 31 - 1));
  }

  get #grace(): number {
    return this.#pod.metadata.deletionGracePeriodSeconds ?? this.#pod.spec?.terminationGracePeriodSeconds ?? 30;
  }

  /** Volumes, then namespaces and networks, each tried until it works; undefined when the pod was stopped meanwhile. */
  async #setUp(): Promise<Sandbox | undefined> {
    const signal = this.#stopping.signal;
    // Pods that become known together are queued together, so that those that others need come first.
    await sleep(0, signal);
    for (let wait = 250; !signal.aborted; wait = Math.min(wait * 2, 2000)) {
      try {
        const sandbox = await this.#context.setups.run(() => this.#attempt(), this.#rank);
        if (sandbox) await this.#join(sandbox);
        return sandbox;
      } catch (error) {
        const message = describeError(error);
        if (error instanceof VolumeError) {
          this.event("Warning", "FailedMount", `MountVolume.SetUp failed: ${message}`);
        } else {
          this.event("Warning", "FailedCreatePodSandBox", `Failed to create pod sandbox: ${message}`);
          this.#context.log.warn("cannot set up a pod", { pod: this.#label, error: message });
        }
        await this.#tearDown();
        await this.#nap(wait);
      }
    }
    return undefined;
  }

  /** Who comes first when many pods are set up: by priority, then what serves the cluster, then applications. */
  get #rank(): number {
    const { priority } = this.#pod.spec ?? {};
    return priority || (this.#pod.metadata.namespace?.endsWith("-system") ? SYSTEM_RANK : 0);
  }

  async #nap(ms: number): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await sleep(ms, AbortSignal.any([woken.signal, this.#stopping.signal]));
    this.#wake = undefined;
  }

  async #attempt(): Promise<Sandbox | undefined> {
    if (this.#stopping.signal.aborted) return undefined;
    const { node, root } = this.#context, spec = this.#pod.spec ?? {};
    const hostNetwork = spec.hostNetwork === true;
    this.#ip = hostNetwork ? node.addresses.fabricIp : this.#context.takeAddress(this.#pod.status?.podIP);
    await this.#volumes.prepare();
    writePodFiles(this.dir, this.#pod, this.#ip, node.name);
    const containers = [...spec.containers ?? [], ...spec.initContainers ?? []];
    const sandbox = this.#sandbox = await createSandbox({
      node,
      root,
      uid: this.uid,
      hostname: podHostname(this.#pod, node.name),
      ip: hostNetwork ? undefined : this.#ip,
      hostPID: spec.hostPID === true,
      hostIPC: spec.hostIPC === true,
      privileged: containers.some((one: any) =>
        one.securityContext?.privileged || one.securityContext?.procMount === "Unmasked"
      ),
      hostPaths: this.#volumes.hostPaths,
    });
    return sandbox;
  }

  /** Chained CNI plugins may wait for an agent that is a pod itself, so this takes no other pod's turn. */
  async #join(sandbox: Sandbox): Promise<void> {
    if (!this.#pod.spec?.hostNetwork) {
      const { name, namespace } = this.#pod.metadata;
      const join = () => addToNetworks(this.#context.node, sandbox, { name, namespace: namespace!, uid: this.uid });
      // The agent that the others wait for must not wait behind them.
      await (this.#rank >= NODE_CRITICAL ? join() : this.#context.joins.run(join, this.#rank));
    }
    // Downward API files may name the address that is known only now.
    await this.#volumes.refresh();
    this.changed();
  }

  async #tearDown(): Promise<void> {
    const sandbox = this.#sandbox;
    this.#sandbox = undefined;
    await sandbox?.close();
    if (this.#ip && !this.#pod.spec?.hostNetwork) this.#context.releaseAddress(this.#ip);
  }

  /** @returns true when the pod has ended by its restart policy, false when its namespaces have gone */
  async #runContainers(sandbox: Sandbox): Promise<boolean> {
    const policy = this.#pod.spec?.restartPolicy ?? "Always";
    let gone = false;
    const lost = sandbox.ended.then(() => void (gone = true));
    const sidecars: Promise<unknown>[] = [];
    for (const container of this.containers.filter(({ record: { kind } }) => kind === "init" || kind === "sidecar")) {
      if (container.record.kind === "sidecar") {
        sidecars.push(container.run(sandbox, "Always"));
        await Promise.race([container.started(), lost, aborted(this.#stopping.signal)]);
      } else {
        const exit = await container.run(sandbox, policy === "Always" ? "OnFailure" : policy);
        if (exit && exit.code !== 0) {
          // Only with restartPolicy Never: the pod has failed.
          return true;
        }
      }
      if (gone || this.#stopping.signal.aborted) return false;
    }
    const main = this.containers.filter((one) => one.record.kind === "main");
    for (const { record } of main) {
      if (record.state.waiting?.reason === "PodInitializing") {
        record.state = { waiting: { reason: "ContainerCreating" } };
      }
    }
    const exits = await Promise.all(main.map((container) => container.run(sandbox, policy)));
    return !gone && exits.every((exit) => exit !== undefined);
  }

  /** Schedules a write of the status. */
  changed(): void {
    if (this.#silent) return;
    this.#statusTimer ??= setTimeout(() => {
      this.#statusTimer = undefined;
      this.writeStatus();
    }, STATUS_DELAY_MS);
  }

  writeStatus(): void {
    if (this.#silent) return;
    const { node } = this.#context;
    const status = podStatus(this.#pod, {
      records: this.containers.map((one) => one.record),
      hostIP: node.addresses.fabricIp,
      podIP: this.#sandbox || this.#written ? this.#ip : undefined,
      sandboxReady: this.#sandbox !== undefined,
      startTime: this.#startTime,
      now: isoNow(),
      failure: this.#failure,
    });
    const text = JSON.stringify(status);
    if (text === this.#written) return;
    const { namespace, name, uid } = this.#pod.metadata;
    try {
      this.#context.api.patch(PODS, namespace, name, "merge", { metadata: { uid }, status }, { subresource: "status" });
      this.#written = text;
    } catch (error) {
      if (error instanceof ApiError && (error.code === 404 || error.code === 409)) return;
      this.#context.log.warn("cannot write a pod's status", { pod: this.#label, error: describeError(error) });
    }
  }

  /** Ends the pod: hooks, SIGTERM, SIGKILL after the grace period, then its namespaces. May be called again with less. */
  stop(graceSeconds = this.#grace): Promise<void> {
    const previous = this.#stopped;
    const mine = (async () => {
      if (!previous) {
        for (const { name, record } of this.containers) {
          if (record.state.running) {
            this.event("Normal", "Killing", `Stopping container ${name}`, { name, init: record.kind !== "main" });
          }
        }
      }
      this.#stopping.abort();
      clearTimeout(this.#deadline);
      const deadline = Date.now() + graceSeconds * 1000;
      const left = () => Math.max(0, (deadline - Date.now()) / 1000);
      await Promise.all(this.containers.filter((one) => one.record.kind !== "sidecar").map((one) => one.stop(left())));
      for (const sidecar of this.containers.filter((one) => one.record.kind === "sidecar").reverse()) {
        await sidecar.stop(left());
      }
      await this.#done;
      await this.#tearDown();
    })();
    return this.#stopped = mine;
  }

  /** Nothing is written any more: the object is gone, or the engine stops. */
  silence(): void {
    this.#silent = true;
    clearTimeout(this.#statusTimer);
    this.#statusTimer = undefined;
  }

  /** Ends every process at once and forgets the pod's folder when it is deleted. */
  async destroy(removeFiles: boolean): Promise<void> {
    this.silence();
    await this.stop(0);
    this.silence();
    if (removeFiles) await Deno.remove(this.dir, { recursive: true }).catch(() => {});
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

function isoNow(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, "Z");
}
