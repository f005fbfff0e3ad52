import { ApiError } from "../api_error.ts";
import type { ClusterApi, LogOptions, PodBackend } from "../contracts.ts";
import type { ContainerRunner } from "./container_runner.ts";
import { dialPod } from "./dial.ts";
import { execSession } from "./exec.ts";
import type { Kubelet } from "./kubelet.ts";
import { readLog } from "./logs.ts";
import type { PodRunner } from "./pod_runner.ts";
import type { UsageMeter } from "./usage.ts";

/** Lets the API server reach the pods of a kubelet. */
export function podBackend(kubelet: Kubelet, api: ClusterApi, meter: UsageMeter): PodBackend {
  return {
    logs: (namespace, pod, container, options) => logs(kubelet, api, namespace, pod, container, options),
    async exec(namespace, pod, container, command, options) {
      const target = containerOf(kubelet.find(namespace, pod), container).execTarget;
      if (!target) {
        throw new ApiError(500, "InternalError", `unable to upgrade connection: container not found ("${container}")`);
      }
      return execSession(target, command, options);
    },
    attach(namespace, pod, container, options) {
      const session = containerOf(kubelet.find(namespace, pod), container).attach(options);
      if (session) return Promise.resolve(session);
      throw new ApiError(500, "InternalError", `unable to attach: container "${container}" is not running`);
    },
    async dial(namespace, pod, port) {
      const { sandbox } = kubelet.find(namespace, pod);
      if (!sandbox) throw new ApiError(400, "BadRequest", `unable to forward port because pod "${pod}" is not running`);
      return await dialPod(sandbox, pod, port);
    },
    usage: () => meter.read(),
  };
}

/** The container of that name, or the first when none is given. */
function containerOf(runner: PodRunner, name: string): ContainerRunner {
  const main = runner.containers.find((one) => one.record.kind === "main");
  const found = name === "" ? main : runner.containers.find((one) => one.name === name);
  if (!found) {
    throw ApiError.badRequest(`container ${name} is not valid for pod ${runner.pod.metadata.name}`);
  }
  return found;
}

function logs(
  kubelet: Kubelet,
  api: ClusterApi,
  namespace: string,
  name: string,
  container: string,
  options: LogOptions,
): ReadableStream<Uint8Array> {
  let runner: PodRunner;
  try {
    runner = kubelet.find(namespace, name);
  } catch (error) {
    const path = finishedLog(kubelet, api, namespace, name, container);
    if (path) return readLog(path, options);
    throw error;
  }
  const found = containerOf(runner, container), { record } = found;
  if (options.previous) {
    const path = found.logPath(record.restartCount - (record.state.terminated || record.state.running ? 1 : 0));
    const before = record.state.waiting && exists(found.logPath()) ? found.logPath() : path;
    if (!exists(before)) {
      throw ApiError.badRequest(`previous terminated container "${found.name}" in pod "${name}" not found`);
    }
    return readLog(before, { ...options, follow: false });
  }
  const path = exists(found.logPath()) ? found.logPath() : found.logPath(record.restartCount - 1);
  if (!exists(path)) {
    const reason = record.state.waiting?.reason ?? "ContainerCreating";
    throw ApiError.badRequest(`container "${found.name}" in pod "${name}" is waiting to start: ${reason}`);
  }
  const live = found.liveLog;
  return readLog(path, options, live?.path === path ? live : undefined);
}

/** The newest log of a pod that had ended before this engine started. */
function finishedLog(
  kubelet: Kubelet,
  api: ClusterApi,
  namespace: string,
  name: string,
  container: string,
): string | undefined {
  const pod = api.get({ group: "", resource: "pods" }, namespace, name);
  const folder = pod && kubelet.folderOf(pod);
  const dir = folder && `${folder}/logs/${container || pod.spec?.containers?.[0]?.name}`;
  if (!dir || !exists(dir)) return undefined;
  const numbers = [...Deno.readDirSync(dir)].map((entry) => parseInt(entry.name)).filter((n) => !Number.isNaN(n));
  return numbers.length > 0 ? `${dir}/${Math.max(...numbers)}.log` : undefined;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
