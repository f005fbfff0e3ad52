import { MeshError } from "../../core/errors.ts";
import { selfCommand } from "../../core/self.ts";
import { SAMPLES } from "../../../manifests/samples/mod.ts";
import { execInPod, type ExecResult } from "../ctl/exec.ts";
import type { KubeClient, KubeJson } from "../ctl/kube.ts";
import { parseManifest, readyPods } from "../up/samples.ts";

/** What the steps of the tour share. */
export interface TourContext {
  readonly client: KubeClient;
  readonly kubeconfig: string;
  readonly signal: AbortSignal;
  /** Facts that a later step compares with, by name. */
  readonly notes: Map<string, unknown>;
}

/** One step: what a user would type, and what proves that it worked. */
export interface TourStep {
  readonly title: string;
  /** Shown above the proof, as a user would type it. */
  readonly command?: string;
  /** @returns lines of proof; throws when the step did not do what it should */
  run(tour: TourContext): Promise<string[]>;
}

/** Fails a step with what was seen in place of what was expected. */
export function expect(condition: unknown, message: string): asserts condition {
  if (!condition) throw new MeshError("tour", message);
}

/** Tries until `attempt` stops throwing; the last failure is the one reported. */
export async function eventually<T>(tour: TourContext, withinMs: number, attempt: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + withinMs;
  while (true) {
    try {
      return await attempt();
    } catch (error) {
      if (tour.signal.aborted || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** The first ready pod of an application in namespace default. */
export async function podOf(tour: TourContext, app: string, namespace = "default"): Promise<KubeJson> {
  const [pod] = await readyPods(tour.client, namespace, `app=${app}`);
  expect(pod, `no pod of ${app} is ready in namespace ${namespace}`);
  return pod;
}

/** Runs a command in the first ready pod of an application, as `kubectl exec deploy/<app> --` does. */
export async function execIn(
  tour: TourContext,
  app: string,
  command: string[],
  namespace = "default",
): Promise<ExecResult> {
  const pod = await podOf(tour, app, namespace);
  return await execInPod(tour.client, { namespace, pod: pod.metadata.name }, command, tour.signal);
}

export const TITLE = "<title>Simple Bookstore App</title>";

/** `curl -s http://productpage:9080/` from an application's pod. */
export function curlProductpage(tour: TourContext, app: string, namespace = "default"): Promise<ExecResult> {
  const host = namespace === "default" ? "productpage" : "productpage.default";
  return execIn(tour, app, ["curl", "-s", "-m", "10", `http://${host}:9080/`], namespace);
}

/** `ambientd ctl <args>` on the tour's cluster; returns what it printed. Throws when it fails. */
export async function runCtl(tour: TourContext, ...args: string[]): Promise<string> {
  const [program, ...words] = selfCommand(["ctl", "--kubeconfig", tour.kubeconfig, ...args]);
  const { code, stdout, stderr } = await new Deno.Command(program, { args: words, signal: tour.signal }).output();
  const errors = new TextDecoder().decode(stderr).trim();
  expect(code === 0, `it ended with code ${code}: ${errors.split("\n").at(-1)}`);
  return new TextDecoder().decode(stdout);
}

/** Objects of a sample, by its path under manifests/samples, in namespace default. */
export function sample(name: keyof typeof SAMPLES): KubeJson[] {
  return parseManifest(SAMPLES[name], "default");
}

/** Applies objects by server-side apply, in order. */
export async function apply(tour: TourContext, objects: readonly KubeJson[]): Promise<void> {
  for (const object of objects) await tour.client.apply(object, { signal: tour.signal });
}

/** Sets or removes (null) labels of a namespace. */
export async function labelNamespace(
  tour: TourContext,
  namespace: string,
  labels: Record<string, string | null>,
): Promise<void> {
  await tour.client.request("PATCH", `/api/v1/namespaces/${namespace}`, {
    body: { metadata: { labels } },
    contentType: "application/merge-patch+json",
  });
}

export const REDIRECTION = "ambient.istio.io/redirection";

/** Waits until every pod of namespace default is in the mesh, or out of it. */
export async function awaitEnrolment(tour: TourContext, enrolled: boolean): Promise<KubeJson[]> {
  return await eventually(tour, 30_000, async () => {
    const pods = await tour.client.list("v1", "Pod", { namespace: "default" });
    const late = pods.filter((pod) => (pod.metadata.annotations?.[REDIRECTION] === "enabled") !== enrolled);
    expect(
      pods.length > 0 && late.length === 0,
      `${late.map((pod) => pod.metadata.name).join(", ")} ${enrolled ? "did not join" : "did not leave"} the mesh`,
    );
    return pods;
  });
}
