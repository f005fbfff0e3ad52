import { gatewayApiDefinitions } from "../../../manifests/crds/gateway_api/mod.ts";
import { CommandError } from "../../core/usage.ts";
import { describeError } from "../../core/errors.ts";
import { asTyped } from "../../core/self.ts";
import { dialService } from "../../cluster/engine_control.ts";
import { kubeconfigPath, mergeKubeconfig, removeFromKubeconfig } from "../../cluster/kubeconfig.ts";
import { type ClusterLayout, processStartTime } from "../../cluster/layout.ts";
import { listenAndRelay } from "../../cluster/relay.ts";
import type { CaMaterial } from "../../identity/ca_material.ts";
import { applyAll } from "../ctl/apply.ts";
import { installMesh } from "../ctl/install.ts";
import { KubeClient } from "../ctl/kube.ts";
import type { KubeTarget } from "../../kube/target.ts";
import { engineFailure, type EngineProcess, startEngine } from "./engine_process.ts";
import { writeRunState } from "./instance.ts";
import type { UpOptions } from "./options.ts";
import type { Progress } from "./progress.ts";
import { proveRequest } from "./proof.ts";
import { newRoot, plantRoot } from "./root.ts";
import { applySamples, enrol, SAMPLE_NAMESPACE, waitForSamples } from "./samples.ts";
import { nameFlag, printSummary } from "./summary.ts";

/** How long any one step of starting may take before it counts as failed. */
const STEP_TIMEOUT_MS = 120_000;
/** What pods get to end when the cluster stops. */
const STOP_GRACE_MS = 15_000;

/** A cluster that runs in this process and its engine. */
export interface RunningCluster {
  readonly target: KubeTarget;
  /** Settles when the engine ends by itself, with why. */
  readonly ended: Promise<Error>;
  stop(): Promise<void>;
}

/** @throws CommandError on a machine that cannot run a cluster */
export function checkHost(): void {
  if (Deno.build.os !== "linux") {
    throw new CommandError(
      `\`ambientd up\` needs Linux (network namespaces); this is ${Deno.build.os}. Use \`ambientd ctl\` with a cluster elsewhere`,
    );
  }
}

/** Starts everything that `options` asks for, showing each step, and returns when it is proven to work. */
export async function bringUp(
  options: UpOptions,
  layout: ClusterLayout,
  progress: Progress,
  signal: AbortSignal,
  { quiet = false } = {},
): Promise<RunningCluster> {
  const context = `ambientd-${options.name}`;
  const kubeconfig = kubeconfigPath(options.kubeconfig);
  const started = performance.now();
  const again = hasRun(layout), root = options.mesh === "ambient" && !again ? rootOfNewCluster() : undefined;
  const cleanups: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const cleanup of cleanups.splice(0).reverse()) {
      await cleanup().catch((error) => console.error(describeError(error)));
    }
  };
  try {
    const api = listenApi(options, layout, (text) => progress.complain(text));
    cleanups.push(() => api.close());
    for (const publish of options.publish) {
      const relay = listen(
        publish.hostPort,
        "--publish",
        () => dialService(layout.controlSocket, { op: "dial", ...publish }),
        (text) => progress.complain(text),
      );
      cleanups.push(() => relay.close());
    }
    const { state, target, nodes, failed } = await progress.step(
      `Starting cluster "${options.name}" with ${options.nodes} node${options.nodes === 1 ? "" : "s"}`,
      async () => {
        const engine = startEngine(layout, options.nodes);
        cleanups.push(() => engine.stop(STOP_GRACE_MS));
        const failed = engine.ended.then((status) => engineFailure(layout, status));
        const ready = await Promise.race([
          apiReady(engine),
          failed.then((error) => Promise.reject(error)),
          aborted(signal),
        ]);
        const server = `https://127.0.0.1:${api.port}`;
        // Before the context: whoever finds this file knows what to take out of the kubeconfig after a crash.
        const state = {
          pid: Deno.pid,
          startTime: processStartTime(Deno.pid) ?? "",
          enginePid: engine.pid,
          engineStartTime: engine.startTime,
          apiPort: api.port,
          kubeconfig,
          context,
          ready: false,
        };
        await writeRunState(layout, state);
        await mergeKubeconfig(kubeconfig, { context, server, ...ready.credentials });
        cleanups.push(() => removeFromKubeconfig(kubeconfig, context));
        return { state, target: { server, ...ready.credentials }, nodes: ready.nodes, failed };
      },
    );
    if (again) {
      const { dim } = progress.colors, fresh = asTyped(`\`ambientd down${nameFlag(options.name)} --delete\``);
      progress.line(dim(`   as it was when stopped; for a new one: ${fresh}`));
    }
    const client = new KubeClient(target);
    cleanups.push(async () => client.close());
    const work = deploy(options, client, { nodes, root }, progress, signal);
    await Promise.race([work, failed.then((error) => Promise.reject(error)), aborted(signal)]);
    await writeRunState(layout, { ...state, ready: true });
    if (!quiet) {
      await printSummary(progress, client, { options, context, kubeconfig, startedMs: performance.now() - started });
    }
    return { target, ended: failed, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** What the first request may take in a cluster that has run before; there it may also be meant to fail. */
const RESTARTED_REQUEST_MS = 20_000;

async function deploy(
  options: UpOptions,
  client: KubeClient,
  { nodes, root }: { nodes: Promise<void>; root: Promise<CaMaterial> | undefined },
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const mesh = options.mesh === "ambient", samples = options.samples === "bookinfo";
  // Before the mesh, so that istiod finds them when it starts.
  if (options.gatewayApi === "bundled") await applyAll(client, gatewayApiDefinitions(), { signal });
  // The samples start beside the mesh, which goes first because it takes longer, and join it as soon as it takes them.
  let applied: Promise<void> = Promise.resolve();
  const startSamples = () => {
    if (!samples) return;
    applied = nodes.then(async () => {
      if (mesh) await enrol(client, SAMPLE_NAMESPACE);
      await applySamples(client, signal);
    });
    applied.catch(() => {});
  };
  if (!mesh) startSamples();
  else {
    await progress.step("Installing the mesh (profile ambient)", async (update) => {
      if (root) await plantRoot(client, await root, signal);
      const components = new Set<string>();
      await installMesh(
        { profile: "ambient", wait: true, readinessTimeoutMs: STEP_TIMEOUT_MS, signal },
        client.target,
        (event) => {
          if (event.type === "applied") startSamples();
          if (event.type === "installed") components.add(event.component);
          if (event.type === "working") {
            update(`waiting for ${event.waitingFor.map(bareName).join(", ") || "its objects"}`);
          }
        },
      );
    });
  }
  await nodes;
  if (samples) {
    await progress.step("Deploying Bookinfo, sleep and notsleep", async (update) => {
      await applied;
      await waitForSamples(client, (name) => update(`${name} is ready`), STEP_TIMEOUT_MS, signal);
    });
  }
  if (!samples || !mesh) return;
  if (root) return await proveRequest(client, progress, signal);
  try {
    await proveRequest(client, progress, signal, RESTARTED_REQUEST_MS);
  } catch (error) {
    if (signal.aborted) throw error;
    progress.line("   Policies, routes and waypoints of a cluster that has run before may want it so.");
  }
}

/** The name of `Deployment/istio-system/istiod`. */
function bareName(object: string): string {
  return object.slice(object.lastIndexOf("/") + 1);
}

/** Whether the cluster keeps its state from an earlier run. */
function hasRun({ dataDir }: ClusterLayout): boolean {
  try {
    Deno.statSync(`${dataDir}/state.db`);
    return true;
  } catch {
    return false;
  }
}

/** Made while the engine starts; a cluster that has run before has its root already. */
function rootOfNewCluster(): Promise<CaMaterial> {
  const root = newRoot();
  root.catch(() => {});
  return root;
}

/** The API server's credentials, and a promise of the nodes. */
async function apiReady(engine: EngineProcess) {
  const events = engine.events[Symbol.asyncIterator]();
  const first = await events.next();
  // The engine ended: the caller hears of it from elsewhere.
  if (first.done || first.value.event !== "api") return await new Promise<never>(() => {});
  const { caPem, clientCertPem, clientKeyPem } = first.value;
  const nodes = (async () => {
    const second = await events.next();
    if (second.done) await new Promise<never>(() => {});
  })();
  return { credentials: { caPem, clientCertPem, clientKeyPem }, nodes };
}

/** The API server's port: the one asked for, else the one of the last run, else a free one, remembered. */
function listenApi(options: UpOptions, layout: ClusterLayout, complain: (text: string) => void) {
  const dial = () => Deno.connect({ transport: "unix", path: layout.apiSocket });
  if (options.apiPort !== 0) return listen(options.apiPort, "--api-port", dial, complain);
  const memory = `${layout.dataDir}/api-port`;
  let last = 0;
  try {
    last = Number(Deno.readTextFileSync(memory)) || 0;
  } catch {
    // The first run.
  }
  for (const port of last === 0 ? [0] : [last, 0]) {
    try {
      const relay = listenAndRelay("127.0.0.1", port, dial, () => {});
      Deno.writeTextFileSync(memory, String(relay.port));
      return relay;
    } catch (error) {
      if (port === 0 || !(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  throw new Error("unreachable");
}

function listen(port: number, flag: string, dial: () => Promise<Deno.UnixConn>, complain: (text: string) => void) {
  try {
    return listenAndRelay(
      "127.0.0.1",
      port,
      dial,
      (error) => complain(`${flag} ${port}: ${describeError(error)}`),
    );
  } catch (cause) {
    if (!(cause instanceof Deno.errors.AddrInUse)) throw cause;
    throw new CommandError(
      `cannot listen on 127.0.0.1:${port} (${flag}): another program has this port; see \`ss -ltnp sport = :${port}\`, or choose another`,
    );
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(new CommandError("interrupted", 130));
    if (signal.aborted) fail();
    else signal.addEventListener("abort", fail, { once: true });
  });
}
