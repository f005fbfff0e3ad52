import { KubeApiError, type KubeClient, type KubeJson } from "./kube.ts";

/** Applies in flight at once, of each component: enough to hide round trips, few enough to spare handshakes. */
const PARALLEL = 4;

/** Kinds that a cluster may lack; an installation works without them. */
const OPTIONAL = new Set(["HorizontalPodAutoscaler", "PodDisruptionBudget", "ResourceQuota"]);

/** Kinds that start pods, applied once everything that their pods mention is there. */
export const WORKLOADS = new Set(["Deployment", "DaemonSet"]);

/**
 * Applies objects side by side.
 *
 * @param onSkipped called for an object whose kind the cluster does not serve and that can be left out
 * @throws whatever the first failing apply threw, after the others have ended
 */
export async function applyAll(
  client: KubeClient,
  objects: readonly KubeJson[],
  options: { dryRun?: boolean; signal?: AbortSignal; onSkipped?(object: KubeJson): void } = {},
): Promise<void> {
  const queue = [...objects];
  const failures: unknown[] = [];
  const worker = async () => {
    for (let object = queue.shift(); object && failures.length === 0; object = queue.shift()) {
      try {
        await client.apply(object, options);
      } catch (error) {
        if (error instanceof KubeApiError && error.status === 404 && OPTIONAL.has(object.kind)) {
          options.onSkipped?.(object);
        } else failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, queue.length) }, worker));
  if (failures.length > 0) throw failures[0];
}

/** Creates the namespace unless it is there; its labels and annotations belong to the user. */
export async function ensureNamespace(
  client: KubeClient,
  name: string,
  labels: Record<string, string>,
  options: { dryRun?: boolean; signal?: AbortSignal } = {},
): Promise<void> {
  try {
    await client.request("POST", "/api/v1/namespaces", {
      query: { dryRun: options.dryRun ? "All" : undefined },
      body: { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } },
      signal: options.signal,
    });
  } catch (error) {
    if (!(error instanceof KubeApiError && error.status === 409)) throw error;
  }
}
