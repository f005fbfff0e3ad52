import { Backoff, sleep } from "../../core/backoff.ts";
import { describeError, MeshError } from "../../core/errors.ts";
import { KubeApiError, type KubeClient, type KubeJson } from "./kube.ts";
import { isReady, objectName } from "./readiness.ts";

/** Watches some workloads until each is ready. */
export interface ReadinessWait {
  /** Called with each object as it becomes ready. */
  onReady(name: string): void;
  timeoutMs: number;
  signal?: AbortSignal;
}

/**
 * Waits until every object is ready, by one watch per kind and namespace.
 *
 * @throws MeshError `not_ready` naming those that were not in time, with the reason of their pods where one is known
 */
export async function waitReady(client: KubeClient, objects: readonly KubeJson[], wait: ReadinessWait): Promise<void> {
  const waiting = new Map(objects.map((object) => [objectName(object), object]));
  if (waiting.size === 0) return;
  const done = new AbortController();
  const timer = setTimeout(() => done.abort(), wait.timeoutMs);
  const signal = wait.signal ? AbortSignal.any([wait.signal, done.signal]) : done.signal;
  const groups = new Map<string, KubeJson[]>();
  for (const object of objects) {
    const key = `${object.apiVersion} ${object.kind} ${object.metadata.namespace ?? ""}`;
    groups.set(key, [...(groups.get(key) ?? []), object]);
  }
  try {
    await Promise.all([...groups.values()].map(async (group) => {
      const { apiVersion, kind, metadata: { namespace } } = group[0];
      const backoff = new Backoff({ initialMs: 100, maxMs: 2000 });
      while (!signal.aborted && group.some((object) => waiting.has(objectName(object)))) {
        try {
          for await (const { type, object } of client.watch(apiVersion, kind, namespace, signal)) {
            backoff.reset();
            const name = objectName(object);
            if (type !== "DELETED" && waiting.has(name) && isReady(object)) {
              waiting.delete(name);
              wait.onReady(name);
              if (waiting.size === 0) return done.abort();
            }
          }
        } catch (error) {
          if (error instanceof KubeApiError && error.status < 500 && error.status !== 410) throw error;
        }
        await sleep(backoff.next(), signal);
      }
    }));
  } finally {
    clearTimeout(timer);
    done.abort();
  }
  if (wait.signal?.aborted) throw new MeshError("interrupted", "the installation was interrupted");
  if (waiting.size > 0) {
    const reasons = await Promise.all([...waiting.values()].map((object) => notReadyReason(client, object)));
    throw new MeshError(
      "not_ready",
      `resources not ready after ${Math.round(wait.timeoutMs / 1000)}s: ${reasons.join("; ")}; ` +
        "`kubectl get pods -A` shows the state of their pods",
      { source: "upstream", retryable: true },
    );
  }
}

/** The object's name with what keeps its first troubled container, as `kubectl get pods` would show it. */
async function notReadyReason(client: KubeClient, object: KubeJson): Promise<string> {
  const name = objectName(object);
  try {
    const labels = Object.entries(object.spec?.selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
    if (labels.length === 0) return name;
    const pods = await client.list("v1", "Pod", {
      namespace: object.metadata.namespace,
      labelSelector: labels.join(","),
    });
    for (const pod of pods) {
      for (const container of pod.status?.containerStatuses ?? []) {
        const state = container.state?.waiting ?? container.state?.terminated ?? container.lastState?.terminated;
        if (!container.ready && state?.reason) {
          return `${name} (container ${container.name}: ${state.reason}${state.message ? `: ${state.message}` : ""})`;
        }
      }
      const condition = pod.status?.conditions?.find((c: KubeJson) => c.status === "False" && c.message);
      if (condition) return `${name} (${condition.message})`;
    }
    return pods.length === 0 ? `${name} (no pods)` : name;
  } catch (error) {
    return `${name} (${describeError(error)})`;
  }
}
