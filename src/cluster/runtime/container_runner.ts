import { describeError } from "../../core/errors.ts";
import { sleep } from "../../core/backoff.ts";
import type { ExecSession, KubeObject } from "../contracts.ts";
import { type Exit, type RunningContainer, startContainer } from "./container.ts";
import { CONTAINER_CACHE } from "./code_cache.ts";
import type { NodeContext } from "./context.ts";
import { ContainerConfigError, containerEnvironment } from "./environment.ts";
import { type ExecTarget, execToEnd } from "./exec.ts";
import { programOf, runnable } from "./images.ts";
import { untilListening } from "./listening.ts";
import { LogFile } from "./logs.ts";
import { Prober } from "./prober.ts";
import { expand, type PodFacts } from "./references.ts";
import type { Sandbox } from "./sandbox.ts";
import type { ContainerKind, ContainerRecord } from "./status.ts";
import { containerMounts, VolumeError } from "./volumes.ts";

/** Back-off is forgotten after a run this long, and never longer than this. */
const BACKOFF_RESET_MS = 600_000, BACKOFF_MAX_MS = 300_000;

/** A container that listens on none of its ports by then may never do. */
const LISTENING_MS = 30_000;

const SIGNAL_NUMBERS: Record<string, number> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
};

const WRITABLE_FOLDER = { readOnly: false, kind: "folder" as const, recursive: false };

/** What a container needs of its pod. */
export interface PodHandle {
  readonly pod: KubeObject;
  /** The pod's folder in the engine's view. */
  readonly dir: string;
  readonly facts: PodFacts;
  /** The status is to be written soon. */
  changed(): void;
  event(type: "Normal" | "Warning", reason: string, message: string, container?: { name: string; init: boolean }): void;
}

/** Runs one container of a pod: starts it, watches it, and starts it again as the restart policy says. */
export class ContainerRunner {
  readonly record: ContainerRecord;
  readonly #context: NodeContext;
  readonly #handle: PodHandle;
  #sandbox: Sandbox | undefined;
  #running: RunningContainer | undefined;
  #target: ExecTarget | undefined;
  #prober: Prober | undefined;
  #log: LogFile | undefined;
  #backoffMs = 0;
  #stopped = new AbortController();
  /** Resolves when the container passed its startup probe for the first time in this sandbox. */
  #onStarted: (() => void)[] = [];

  constructor(context: NodeContext, handle: PodHandle, container: any, kind: ContainerKind) {
    this.#context = context;
    this.#handle = handle;
    const { containerStatuses = [], initContainerStatuses = [], ephemeralContainerStatuses = [] } = handle.pod.status ??
      {};
    const held = [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses]
      .find((one: any) => one.name === container.name);
    const was = held?.state?.running
      ? {
        terminated: { exitCode: 255, reason: "Unknown", startedAt: held.state.running.startedAt, finishedAt: isoNow() },
      }
      : held?.state?.terminated
      ? { terminated: held.state.terminated }
      : held?.lastState ?? {};
    const ran = Boolean(held?.state?.running || held?.state?.terminated || held?.lastState?.terminated);
    this.record = {
      name: container.name,
      image: container.image ?? "",
      kind,
      state: { waiting: { reason: kind === "main" && hasInit(handle.pod) ? "PodInitializing" : "ContainerCreating" } },
      lastState: was,
      restartCount: (held?.restartCount ?? 0) + (ran ? 1 : 0),
      started: false,
      ready: false,
    };
  }

  get name(): string {
    return this.record.name;
  }

  get #spec(): any {
    const spec = this.#handle.pod.spec ?? {};
    return [...spec.containers ?? [], ...spec.initContainers ?? [], ...spec.ephemeralContainers ?? []]
      .find((one: any) => one.name === this.name);
  }

  /** Where commands run in the container now, or undefined while it does not run. */
  get execTarget(): ExecTarget | undefined {
    return this.#running ? this.#target : undefined;
  }

  /** Joins a client to the main process; undefined while none runs. */
  attach(options: { stdin: boolean; stdout: boolean; stderr: boolean }): ExecSession | undefined {
    const { stdinOnce } = this.#spec ?? {};
    return this.#running?.streams.attach(this.#running.pid, options, stdinOnce === true);
  }

  /** The process that everything in the container descends from; undefined while it does not run. */
  get helper(): number | undefined {
    return this.#running?.helper;
  }

  get liveLog(): LogFile | undefined {
    return this.#log;
  }

  logPath(restart = this.record.restartCount): string {
    return `${this.#handle.dir}/logs/${this.name}/${restart}.log`;
  }

  started(): Promise<void> {
    return this.record.started ? Promise.resolve() : new Promise((resolve) => this.#onStarted.push(resolve));
  }

  /**
   * Keeps the container running in `sandbox` until it ended for good, or {@linkcode stop} was called, or the sandbox went.
   *
   * @returns the exit that was final, if it ended for good
   */
  async run(sandbox: Sandbox, restartPolicy: string): Promise<Exit | undefined> {
    this.#sandbox = sandbox;
    const gone = this.#stopped.signal;
    let dead = false;
    sandbox.ended.then(() => dead = true);
    while (!gone.aborted && !dead) {
      const began = Date.now();
      const exit = await this.#runOnce();
      if (exit === undefined) {
        if (!gone.aborted) await sleep(1000, gone);
        continue;
      }
      if (gone.aborted || dead) return undefined;
      const again = restartPolicy === "Always" || (restartPolicy === "OnFailure" && exit.code !== 0);
      if (!again) return exit;
      await this.#backOff(Date.now() - began, gone);
      this.record.restartCount++;
    }
    return undefined;
  }

  /** The first restart is at once, later ones wait 10 s, 20 s and so on. */
  async #backOff(ranMs: number, signal: AbortSignal): Promise<void> {
    if (ranMs >= BACKOFF_RESET_MS) this.#backoffMs = 0;
    const wait = this.#backoffMs;
    this.#backoffMs = Math.min(BACKOFF_MAX_MS, wait === 0 ? this.#context.restartDelayMs : wait * 2);
    this.record.lastState = { terminated: this.record.state.terminated! };
    if (wait === 0) return;
    const { metadata } = this.#handle.pod;
    const message = `back-off ${wait / 1000}s restarting failed container=${this.name} ` +
      `pod=${metadata.name}_${metadata.namespace}(${metadata.uid})`;
    this.record.state = { waiting: { reason: "CrashLoopBackOff", message } };
    this.#event("Warning", "BackOff", `Back-off restarting failed container ${this.name} in pod ${metadata.name}`);
    this.#handle.changed();
    await sleep(wait, signal);
  }

  #wait(reason: string, message: string): undefined {
    const waiting = this.record.state.waiting;
    if (waiting?.reason !== reason || waiting.message !== message) {
      this.record.state = { waiting: { reason, message } };
      this.#handle.changed();
    }
    return undefined;
  }

  #event(type: "Normal" | "Warning", reason: string, message: string): void {
    this.#handle.event(type, reason, message, { name: this.name, init: this.record.kind !== "main" });
  }

  /** One start to its end; undefined when it could not be started and is to be tried again. */
  async #runOnce(): Promise<Exit | undefined> {
    const container = this.#spec, { pod, dir, facts } = this.#handle;
    const found = programOf(container.image ?? "", this.#context.self);
    if ("problem" in found) {
      this.#event("Warning", "ErrImageNeverPull", found.problem);
      return this.#wait("ErrImageNeverPull", found.problem);
    }
    const { program } = found;
    const security = { ...podSecurity(pod), ...container.securityContext ?? {} };
    const log = new LogFile(this.logPath());
    this.#log = log;
    const startedAt = isoNow();
    try {
      const own = program.entrypoint[0] === this.#context.self[0];
      const cached = own && await this.#copyCache();
      const selfEnv = {
        ...own ? this.#context.selfEnv : {},
        ...cached ? { DENO_DIR: CONTAINER_CACHE, AMBIENTD_NODE_DENO_DIR: this.#context.selfEnv.DENO_DIR } : {},
      };
      const home = { HOME: (security.runAsUser ?? 0) === 0 ? "/root" : "/" };
      const env = containerEnvironment(this.#context.api, facts, container, { ...selfEnv, ...home, ...program.env });
      const words = (list: string[] | undefined) => list?.map((word) => expand(word, env));
      const command = words(container.command);
      const rest = words(container.args) ?? (command ? [] : program.cmd);
      const argv = runnable([...command ?? program.entrypoint, ...rest]);
      if (argv.length === 0) throw new ContainerConfigError("no command specified");
      const cwd = container.workingDir || program.workingDir;
      this.#event("Normal", "Pulled", `Container image "${container.image}" already present on machine`);
      this.#event("Normal", "Created", `Created container: ${this.name}`);
      const messages = container.terminationMessagePath ?? "/dev/termination-log";
      Deno.mkdirSync(`${dir}/containers/${this.name}`, { recursive: true });
      const messageFile = `containers/${this.name}/termination-log`;
      Deno.writeTextFileSync(`${dir}/${messageFile}`, "");
      Deno.chmodSync(`${dir}/${messageFile}`, 0o666);
      const mounts = [
        ...containerMounts(dir, pod, container, env),
        { source: messageFile, target: messages, readOnly: false, kind: "file" as const, recursive: false },
        ...cached ? [{ source: this.#cachePath, target: CONTAINER_CACHE, ...WRITABLE_FOLDER }] : [],
      ];
      this.#running = await startContainer(this.#sandbox!, this.#context.root, dir, this.#context.ids, {
        ...{ name: this.name, argv, env, cwd, mounts, security, log },
        ...{ stdin: container.stdin === true, tty: container.tty === true },
      });
      this.#target = { sandbox: this.#sandbox!, pid: this.#running.pid, dir: `${dir}/containers/${this.name}`, cwd };
    } catch (error) {
      log.close();
      if (error instanceof ContainerConfigError || error instanceof VolumeError) {
        this.#event("Warning", "Failed", `Error: ${error.message}`);
        return this.#wait("CreateContainerConfigError", error.message);
      }
      if (this.#stopped.signal.aborted) return undefined;
      const message = `failed to start container: ${describeError(error)}`;
      this.#event("Warning", "Failed", `Error: ${message}`);
      this.#finish({ exitCode: 128, reason: "StartError", message, startedAt, finishedAt: isoNow() });
      return { code: 128 };
    }
    if (program.entrypoint[0] === this.#context.self[0]) await this.#untilListening(this.#running, container);
    return await this.#watch(this.#running, log, container);
  }

  /**
   * Our stand-ins take longer to start than what they stand for: without a probe that would tell, a container of theirs counts as
   * started when it listens, so that the first request after `kubectl wait` finds somebody.
   */
  async #untilListening(running: RunningContainer, container: any): Promise<void> {
    if (container.command || container.startupProbe || container.readinessProbe) return;
    const ports = (container.ports ?? []).filter(({ protocol = "TCP" }) => protocol === "TCP");
    if (ports.length === 0) return;
    const over = new AbortController();
    running.exited.then(() => over.abort());
    const signal = AbortSignal.any([over.signal, this.#stopped.signal]);
    await untilListening(running.pid, ports.map((port: any) => port.containerPort), LISTENING_MS, signal);
  }

  get #cachePath(): string {
    return `containers/${this.name}/deno`;
  }

  /** Gives the container compiled code of its own, if there is any. */
  async #copyCache(): Promise<boolean> {
    const { cache, selfEnv } = this.#context;
    return await cache?.copy(`${this.#handle.dir}/${this.#cachePath}`, `${selfEnv.DENO_DIR}/gen`) ?? false;
  }

  async #watch(running: RunningContainer, log: LogFile, container: any): Promise<Exit> {
    const startedAt = isoNow(), { record } = this;
    record.containerID = `ambientd://${crypto.randomUUID().replaceAll("-", "")}`;
    record.state = { running: { startedAt } };
    record.started = !container.startupProbe;
    record.ready = record.started && !container.readinessProbe;
    this.#event("Normal", "Started", `Started container ${this.name}`);
    this.#handle.changed();
    if (record.started) this.#announceStarted();
    const prober = this.#prober = new Prober(container, this.#probeTarget(container), {
      started: (value) => {
        record.started = value;
        if (value) this.#announceStarted();
        if (value && !container.readinessProbe) record.ready = true;
        this.#handle.changed();
      },
      ready: (value) => {
        record.ready = value;
        this.#handle.changed();
      },
      unhealthy: (kind, message) => this.#event("Warning", "Unhealthy", `${kind} probe failed: ${message}`),
      fatal: (kind) => {
        this.#event("Normal", "Killing", `Container ${this.name} failed ${kind} probe, will be restarted`);
        const grace = container[`${kind}Probe`].terminationGracePeriodSeconds;
        void this.terminate(grace ?? this.#handle.pod.spec?.terminationGracePeriodSeconds ?? 30);
      },
    });
    const hook = this.#postStart(container);
    if (this.#stopped.signal.aborted) running.signal("SIGKILL");
    const exit = await running.exited;
    prober.stop();
    await hook;
    this.#running = undefined;
    log.close();
    record.ready = record.started = false;
    const message = this.#terminationMessage(container, exit);
    this.#finish({
      exitCode: exit.code,
      ...(exit.signal && SIGNAL_NUMBERS[exit.signal] ? { signal: SIGNAL_NUMBERS[exit.signal] } : {}),
      reason: exit.code === 0 ? "Completed" : "Error",
      ...(message ? { message } : {}),
      startedAt,
      finishedAt: isoNow(),
      containerID: record.containerID,
    });
    return exit;
  }

  #finish(terminated: NonNullable<ContainerRecord["state"]["terminated"]>): void {
    this.record.state = { terminated };
    this.#handle.changed();
  }

  #announceStarted(): void {
    for (const resolve of this.#onStarted.splice(0)) resolve();
  }

  #probeTarget(container: any) {
    return {
      ip: this.#sandbox!.ip,
      ports: container.ports ?? [],
      exec: (command: string[], timeoutMs: number) => execToEnd(this.#target!, command, timeoutMs),
    };
  }

  async #postStart(container: any): Promise<void> {
    const handler = container.lifecycle?.postStart;
    if (!handler) return;
    const problem = await this.#hook(handler, container, 600_000);
    if (problem === undefined) return;
    this.#event("Warning", "FailedPostStartHook", problem);
    this.#running?.signal("SIGKILL");
  }

  async #hook(handler: any, container: any, timeoutMs: number): Promise<string | undefined> {
    if (handler.sleep) {
      await sleep(Math.min(timeoutMs, (handler.sleep.seconds ?? 0) * 1000));
      return undefined;
    }
    const { probe } = await import("./probes.ts");
    const result = await probe({ ...handler, timeoutSeconds: timeoutMs / 1000 }, this.#probeTarget(container));
    return result.ok ? undefined : result.message;
  }

  #terminationMessage(container: any, exit: Exit): string | undefined {
    let message = "";
    try {
      message = Deno.readTextFileSync(`${this.#handle.dir}/containers/${this.name}/termination-log`).slice(0, 4096);
      if (message === "" && exit.code !== 0 && container.terminationMessagePolicy === "FallbackToLogsOnError") {
        const lines = Deno.readTextFileSync(this.logPath()).trimEnd().split("\n").slice(-80);
        message = lines.map((line) => line.replace(/^\S+ \S+ [FP] /, "")).join("\n").slice(-2048);
      }
    } catch {
      // The pod's folder is gone already.
    }
    return message || undefined;
  }

  /** Ends the main process: preStop hook, SIGTERM, and SIGKILL when the grace period is over. */
  async terminate(graceSeconds: number): Promise<void> {
    const running = this.#running;
    if (!running) return;
    this.#prober?.stop();
    const deadline = Date.now() + graceSeconds * 1000;
    const ended = new AbortController();
    running.exited.then(() => ended.abort());
    const container = this.#spec, handler = container?.lifecycle?.preStop;
    if (handler && graceSeconds > 0) {
      const hook = this.#hook(handler, container, graceSeconds * 1000);
      const problem = await Promise.race([hook, running.exited.then(() => undefined)]);
      if (problem) this.#event("Warning", "FailedPreStopHook", problem);
    }
    if (graceSeconds > 0) {
      running.signal((container?.lifecycle?.stopSignal as Deno.Signal) ?? "SIGTERM");
      await sleep(Math.max(0, deadline - Date.now()), ended.signal);
    }
    if (!ended.signal.aborted) running.signal("SIGKILL");
    await running.exited;
  }

  /** Like {@linkcode terminate}, for good. */
  async stop(graceSeconds: number): Promise<void> {
    this.#stopped.abort();
    await this.terminate(graceSeconds);
  }

  /** Makes the container usable for another sandbox of the same pod. */
  rearm(): void {
    if (this.record.state.terminated) this.record.lastState = { terminated: this.record.state.terminated };
    if (this.record.state.terminated || this.record.containerID) this.record.restartCount++;
    this.record.state = { waiting: { reason: "ContainerCreating" } };
  }
}

function hasInit(pod: KubeObject): boolean {
  return (pod.spec?.initContainers ?? []).length > 0;
}

function podSecurity(pod: KubeObject): Record<string, unknown> {
  const { runAsUser, runAsGroup, supplementalGroups, fsGroup } = pod.spec?.securityContext ?? {};
  return { runAsUser, runAsGroup, supplementalGroups, fsGroup };
}

function isoNow(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, "Z");
}
