import { type ComponentName, ownerLabels } from "../../../manifests/mod.ts";
import { describeError } from "../../core/errors.ts";
import { CommandError } from "../../core/usage.ts";
import { applyAll, ensureNamespace, WORKLOADS } from "./apply.ts";
import { applyRecordDefinition, installedState, record } from "./installed_state.ts";
import { KubeClient, type KubeJson, lacksPermission } from "./kube.ts";
import type { KubeTarget } from "../../kube/target.ts";
import { mergeSpec } from "./operator_spec.ts";
import type { InstallProgress } from "./progress.ts";
import { leftovers, removeInOrder } from "./prune.ts";
import { objectName } from "./readiness.ts";
import { render, type RenderedComponent } from "./render.ts";
import { type Installation, resolveInstallation } from "./resolve.ts";
import { waitReady } from "./wait.ts";

/** How to install; everything but `wait` may be left out. */
export interface InstallOptions {
  /** Shorthand of the setting `profile=…`. */
  profile?: string;
  /** `path=value`, as `--set` takes them; they win over `files`. */
  set?: readonly string[];
  /** IstioOperator files. */
  files?: readonly { name: string; text: string }[];
  revision?: string;
  /** Accept settings that are unknown. */
  force?: boolean;
  dryRun?: boolean;
  /** Return only when every workload is ready. */
  wait: boolean;
  readinessTimeoutMs?: number;
  /** Limit of one request to the API. */
  requestTimeoutMs?: number;
  signal?: AbortSignal;
}

/** What was asked for, worked out without touching a cluster. */
export function planInstallation(options: Omit<InstallOptions, "wait">): Installation {
  const sets = [
    ...(options.profile ? [`profile=${options.profile}`] : []),
    ...(options.set ?? []),
    ...(options.revision ? [`revision=${options.revision}`] : []),
  ];
  return resolveInstallation(mergeSpec(options.files ?? [], sets, options.force));
}

/** What is known of a cluster by its version, laid under what was asked for: GKE keeps CNI plugins in a place of its own. */
export async function withPlatform<T extends Omit<InstallOptions, "wait">>(client: KubeClient, options: T): Promise<T> {
  const asked = planInstallation(options).spec.values?.global?.platform;
  const server = await client.request("GET", "/version");
  if (asked !== undefined || !/-gke\b/.test(server?.gitVersion ?? "")) return options;
  const text =
    "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: {values: {global: {platform: gke}}}\n";
  return { ...options, files: [{ name: "the cluster's version", text }, ...(options.files ?? [])] };
}

/**
 * Installs the mesh, or changes an installed one to what is asked for: the namespace, then everything that pods mention,
 * then the workloads, each step side by side; then waits for all that has to become ready.
 *
 * @throws CommandError for settings that cannot be installed; what the cluster answered when it refuses an object;
 *   MeshError `not_ready` when workloads are not ready in time
 */
export async function installMesh(
  options: InstallOptions,
  target: KubeTarget,
  progress: InstallProgress,
): Promise<Installation> {
  planInstallation(options);
  const client = new KubeClient(target, options.requestTimeoutMs ? { timeoutMs: options.requestTimeoutMs } : {});
  let installation: Installation;
  try {
    installation = planInstallation(await withPlatform(client, options));
    await install(installation, options, client, progress);
  } finally {
    client.close();
  }
  return installation;
}

async function install(
  installation: Installation,
  options: InstallOptions,
  client: KubeClient,
  progress: InstallProgress,
): Promise<void> {
  const { values } = installation;
  const components = render(installation);
  const tracker = new ComponentTracker(components, progress);
  const { dryRun, signal } = options;
  const applyOptions = {
    dryRun,
    signal,
    onSkipped: (object: any) =>
      progress({ type: "note", text: `${objectName(object)} is left out: the cluster does not serve its kind` }),
  };
  const state = installedState(installation);
  const definition = applyRecordDefinition(client, { dryRun, signal });
  definition.catch(() => {});
  // Told at the end: what is in the cluster works without it.
  let recorded: Promise<unknown> = definition.then(() => undefined, (error) => error);
  try {
    const labels: Record<string, string> = values.network === "" ? {} : { "topology.istio.io/network": values.network };
    await ensureNamespace(client, values.namespace, labels, { dryRun, signal });
    tracker.report();
    await eachComponent(
      components,
      tracker,
      (objects) => applyAll(client, objects.filter(({ kind }) => !WORKLOADS.has(kind)), applyOptions),
    );
    await eachComponent(
      components,
      tracker,
      (objects) => applyAll(client, objects.filter(({ kind }) => WORKLOADS.has(kind)), applyOptions),
    );
    if (!dryRun) recorded = record(client, state, definition, signal).catch((error) => error);
    progress({ type: "applied" });
    if (options.wait && !dryRun) {
      tracker.report();
      await waitReady(client, tracker.awaited(), {
        onReady: (name) => tracker.ready(name),
        timeoutMs: options.readinessTimeoutMs ?? 300_000,
        signal,
      });
    } else tracker.finish();
  } catch (error) {
    await recorded;
    throw tracker.failed(error);
  }
  const unrecorded = await recorded;
  if (unrecorded) throw unrecorded;
  const kept = [...components.flatMap(({ objects }) => objects), state];
  if (!dryRun) await prune(client, kept, ownerLabels(values), progress);
  progress({ type: "complete" });
}

/** Removes what an earlier run made and this one has no more, as a gateway that was taken out of the specification. */
async function prune(
  client: KubeClient,
  installed: readonly KubeJson[],
  owner: Readonly<Record<string, string>>,
  progress: InstallProgress,
): Promise<void> {
  progress({ type: "pruning" });
  try {
    const objects = await leftovers(client, installed, owner);
    await removeInOrder(client, objects, {
      removed: (text) => progress({ type: "removed", text }),
      warn: (text) => progress({ type: "note", text }),
    });
  } catch (error) {
    throw new CommandError(`failed to prune: ${describeError(error)}`);
  }
}

/** Runs one step for all components at once and says which of them failed. */
async function eachComponent(
  components: readonly RenderedComponent[],
  tracker: ComponentTracker,
  step: (objects: RenderedComponent["objects"]) => Promise<void>,
): Promise<void> {
  const results = await Promise.allSettled(components.map(({ objects }) => step(objects)));
  results.forEach((result, i) => {
    if (result.status === "rejected") tracker.fail(components[i].name, result.reason);
  });
  const failure = results.find((result) => result.status === "rejected");
  if (failure) throw failure.reason;
}

/** Follows which objects each component still waits for. */
class ComponentTracker {
  readonly #components: readonly RenderedComponent[];
  readonly #progress: InstallProgress;
  /** Names of objects that are not ready, by component; finished components are gone. */
  readonly #pending: Map<ComponentName, Set<string>>;
  readonly #failed = new Set<ComponentName>();

  constructor(components: readonly RenderedComponent[], progress: InstallProgress) {
    this.#components = components;
    this.#progress = progress;
    this.#pending = new Map(
      components.map(({ name, objects }) => [name, new Set(objects.filter(awaited).map(objectName))]),
    );
  }

  /** Objects that have to become ready. */
  awaited(): any[] {
    for (const [component, names] of [...this.#pending]) if (names.size === 0) this.#installed(component);
    return this.#components.flatMap(({ objects }) => objects.filter(awaited));
  }

  ready(name: string): void {
    for (const [component, names] of [...this.#pending]) {
      if (names.delete(name) && names.size === 0) this.#installed(component);
    }
    this.report();
  }

  finish(): void {
    for (const component of [...this.#pending.keys()]) this.#installed(component);
  }

  fail(component: ComponentName, error: unknown): void {
    this.#failed.add(component);
    this.#progress({ type: "failed", component, error: describeError(error) });
  }

  /** The error to end with; components that did not finish are reported. */
  failed(error: unknown): unknown {
    if (this.#failed.size === 0) {
      for (const component of this.#pending.keys()) this.fail(component, error);
    }
    const hint = lacksPermission(error)
      ? "; `ambientd ctl x precheck` lists the permissions that an installation needs and you lack"
      : "";
    return new CommandError(`failed to install manifests: ${describeError(error)}${hint}`, 1, undefined);
  }

  report(): void {
    this.#progress({
      type: "working",
      components: [...this.#pending.keys()],
      // Definitions are established at once; naming fifteen of them would say nothing.
      waitingFor: [...this.#pending.values()].flatMap((names) => [...names])
        .filter((name) => !name.startsWith("CustomResourceDefinition/")),
    });
  }

  #installed(component: ComponentName): void {
    this.#pending.delete(component);
    this.#progress({ type: "installed", component });
  }
}

function awaited({ kind }: { kind: string }): boolean {
  return WORKLOADS.has(kind) || kind === "CustomResourceDefinition";
}
