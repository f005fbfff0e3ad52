import type { KubeObject } from "../../contracts.ts";
import { age, since } from "./cells.ts";

/** What STATUS says: the phase, or the most telling reason of the containers. */
function podReason(pod: KubeObject): string {
  const { status = {}, spec } = pod;
  let reason: string = status.reason || status.phase || "";
  const inits: any[] = status.initContainerStatuses ?? [];
  let initializing = false;
  for (const [i, container] of inits.entries()) {
    const { terminated, waiting } = container.state ?? {};
    const sidecar = spec.initContainers?.find((init: any) => init.name === container.name)?.restartPolicy === "Always";
    if (terminated?.exitCode === 0 || (sidecar && container.started)) continue;
    if (terminated) {
      const detail = terminated.reason ||
        (terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode}`);
      reason = `Init:${detail}`;
    } else if (waiting?.reason && waiting.reason !== "PodInitializing") reason = `Init:${waiting.reason}`;
    else reason = `Init:${i}/${spec.initContainers?.length ?? inits.length}`;
    initializing = true;
    break;
  }
  const initialized = (status.conditions ?? []).some((condition: any) =>
    condition.type === "Initialized" && condition.status === "True"
  );
  if (!initializing || initialized) {
    let running = false;
    for (const container of [...status.containerStatuses ?? []].reverse()) {
      const { terminated, waiting } = container.state ?? {};
      if (waiting?.reason) reason = waiting.reason;
      else if (terminated?.reason) reason = terminated.reason;
      else if (terminated) {
        reason = terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode}`;
      } else if (container.ready && container.state?.running) running = true;
    }
    if (reason === "Completed" && running) {
      const ready = (status.conditions ?? []).some((condition: any) =>
        condition.type === "Ready" && condition.status === "True"
      );
      reason = ready ? "Running" : "NotReady";
    }
  }
  if (pod.metadata.deletionTimestamp && status.reason === "NodeLost") return "Unknown";
  if (pod.metadata.deletionTimestamp && !["Succeeded", "Failed"].includes(status.phase)) return "Terminating";
  return reason;
}

function restarts(pod: KubeObject, now: number): string {
  let total = 0;
  let last = "";
  for (const container of [...pod.status?.initContainerStatuses ?? [], ...pod.status?.containerStatuses ?? []]) {
    const inInit = pod.status.initContainerStatuses?.includes(container);
    const sidecar = pod.spec.initContainers?.some((init: any) =>
      init.name === container.name && init.restartPolicy === "Always"
    );
    if (inInit && !sidecar && pod.status.phase === "Running") continue;
    total += container.restartCount ?? 0;
    const finished = container.lastState?.terminated?.finishedAt;
    if (finished && finished > last) last = finished;
  }
  return total > 0 && last !== "" ? `${total} (${since(last, now)} ago)` : String(total);
}

export function podCells(pod: KubeObject, now: number): unknown[] {
  const { status = {}, spec } = pod;
  const sidecars: string[] = (spec.initContainers ?? []).filter((init: any) => init.restartPolicy === "Always").map((
    init: any,
  ) => init.name);
  const statuses: any[] = [
    ...status.containerStatuses ?? [],
    ...(status.initContainerStatuses ?? []).filter((item: any) => sidecars.includes(item.name)),
  ];
  const ready = statuses.filter((container) => container.ready).length;
  const total = (spec.containers?.length ?? 0) + sidecars.length;
  const gates: any[] = spec.readinessGates ?? [];
  const open =
    gates.filter((gate) =>
      status.conditions?.some((condition: any) => condition.type === gate.conditionType && condition.status === "True")
    ).length;
  return [
    pod.metadata.name,
    `${ready}/${total}`,
    podReason(pod),
    restarts(pod, now),
    age(pod, now),
    status.podIPs?.[0]?.ip || status.podIP || "<none>",
    spec.nodeName || "<none>",
    status.nominatedNodeName || "<none>",
    gates.length > 0 ? `${open}/${gates.length}` : "<none>",
  ];
}
