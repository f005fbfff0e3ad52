import type { KubeObject } from "../contracts.ts";

/** Ephemeral containers are added to a running pod to look into it (`kubectl debug`), and count for nothing in its state. */
export type ContainerKind = "init" | "sidecar" | "main" | "ephemeral";

/** A container's state as `status.containerStatuses[].state` holds it: one of the three is set. */
export interface ContainerState {
  waiting?: { reason?: string; message?: string };
  running?: { startedAt: string };
  terminated?: {
    exitCode: number;
    signal?: number;
    reason: string;
    message?: string;
    startedAt?: string;
    finishedAt: string;
    containerID?: string;
  };
}

/** What the runtime knows of one container. */
export interface ContainerRecord {
  readonly name: string;
  readonly image: string;
  readonly kind: ContainerKind;
  state: ContainerState;
  lastState: ContainerState;
  restartCount: number;
  /** Passed its startup probe, or has none and runs. */
  started: boolean;
  ready: boolean;
  containerID?: string;
}

export interface PodFactsForStatus {
  records: readonly ContainerRecord[];
  hostIP: string;
  podIP?: string;
  /** The pod's namespaces stand. */
  sandboxReady: boolean;
  startTime: string;
  now: string;
  /** The pod is given up, whatever its containers say. */
  failure?: { reason: string; message: string };
}

/** True when every init container has done what later ones wait for. */
function initialised(records: readonly ContainerRecord[]): boolean {
  return records.every((one) =>
    one.kind === "main" || (one.kind === "sidecar" ? one.started : one.state.terminated?.exitCode === 0)
  );
}

/** `status.phase`, by the kubelet's rules. */
export function podPhase(records: readonly ContainerRecord[], restartPolicy: string): string {
  const finished = (one: ContainerRecord) =>
    one.state.terminated ?? (one.state.waiting ? one.lastState.terminated : undefined);
  const init = records.filter((one) => one.kind === "init"), main = records.filter((one) => one.kind === "main");
  if (restartPolicy === "Never" && init.some((one) => (finished(one)?.exitCode ?? 0) !== 0)) return "Failed";
  if (!initialised(records) && main.every((one) => !one.state.running && !finished(one))) return "Pending";
  if (main.some((one) => one.state.waiting && !finished(one))) return "Pending";
  if (main.some((one) => one.state.running)) return "Running";
  if (restartPolicy === "Always") return "Running";
  if (main.every((one) => finished(one)?.exitCode === 0)) return "Succeeded";
  return restartPolicy === "Never" ? "Failed" : "Running";
}

/** The pod's quality of service class. */
export function qosClass(pod: KubeObject): string {
  const containers: any[] = [...pod.spec?.containers ?? [], ...pod.spec?.initContainers ?? []];
  let any = false, guaranteed = true;
  for (const { resources = {} } of containers) {
    const { limits = {}, requests = {} } = resources;
    if ([...Object.keys(limits), ...Object.keys(requests)].some((key) => key === "cpu" || key === "memory")) any = true;
    for (const resource of ["cpu", "memory"]) {
      if (!limits[resource] || (requests[resource] ?? limits[resource]) !== limits[resource]) guaranteed = false;
    }
  }
  return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

interface Condition {
  type: string;
  status: "True" | "False";
  reason?: string;
  message?: string;
}

/** The whole `status` of a pod as the kubelet writes it. Conditions that others own are kept. */
export function podStatus(pod: KubeObject, facts: PodFactsForStatus): Record<string, any> {
  const { now } = facts;
  const records = facts.records.filter((one) => one.kind !== "ephemeral");
  const restartPolicy = pod.spec?.restartPolicy ?? "Always";
  const phase = facts.failure ? "Failed" : podPhase(records, restartPolicy);
  const done = phase === "Succeeded" || phase === "Failed";
  const held: any[] = pod.status?.conditions ?? [];
  const names = (list: ContainerRecord[]) => `[${list.map((one) => one.name).join(" ")}]`;
  const uninitialised = records.filter((one) =>
    one.kind === "init" ? one.state.terminated?.exitCode !== 0 : one.kind === "sidecar" && !one.started
  );
  const unready = records.filter((one) => one.kind !== "init" && !(one.ready && one.state.running));
  const containersReady: Omit<Condition, "type"> = done
    ? { status: "False", reason: phase === "Succeeded" ? "PodCompleted" : "PodFailed" }
    : unready.length === 0
    ? { status: "True" }
    : { status: "False", reason: "ContainersNotReady", message: `containers with unready status: ${names(unready)}` };
  const gates: string[] = (pod.spec?.readinessGates ?? []).map((gate: any) => gate.conditionType);
  const closed = gates.filter((type) => held.find((one) => one.type === type)?.status !== "True");
  const ready = containersReady.status === "True" && closed.length > 0
    ? {
      status: "False" as const,
      reason: "ReadinessGatesNotReady",
      message: closed.map((type) =>
        `corresponding condition of pod readiness gate "${type}" does not exist or is not True.`
      ).join(", "),
    }
    : containersReady;
  const own: Condition[] = [
    { type: "PodReadyToStartContainers", status: facts.sandboxReady ? "True" : "False" },
    uninitialised.length === 0 || phase === "Succeeded"
      ? { type: "Initialized", status: "True", ...(phase === "Succeeded" ? { reason: "PodCompleted" } : {}) }
      : {
        type: "Initialized",
        status: "False",
        reason: "ContainersNotInitialized",
        message: `containers with incomplete status: ${names(uninitialised)}`,
      },
    { type: "Ready", ...ready },
    { type: "ContainersReady", ...containersReady },
  ];
  const conditions: any[] = own.map((condition) => {
    const before = held.find((one) => one.type === condition.type);
    const since = before?.status === condition.status ? before.lastTransitionTime : now;
    return { ...condition, lastProbeTime: null, lastTransitionTime: since ?? now };
  });
  conditions.push(...held.filter((one) => !own.some((condition) => condition.type === one.type)));
  if (!conditions.some((one) => one.type === "PodScheduled")) {
    conditions.push({ type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: facts.startTime });
  }
  const statuses = (kinds: ContainerKind[]) =>
    facts.records.filter((one) => kinds.includes(one.kind)).map((one) => ({
      name: one.name,
      image: one.image,
      imageID: one.containerID ? `ambientd://${one.image}` : "",
      ...(one.containerID ? { containerID: one.containerID } : {}),
      state: one.state,
      lastState: one.lastState,
      ready: one.kind === "init" ? one.state.terminated?.exitCode === 0 : one.ready && Boolean(one.state.running),
      started: one.kind === "init" ? Boolean(one.state.running) : one.started && Boolean(one.state.running),
      restartCount: one.restartCount,
    }));
  const initStatuses = statuses(["init", "sidecar"]), ephemeralStatuses = statuses(["ephemeral"]);
  return {
    phase,
    reason: facts.failure?.reason ?? null,
    message: facts.failure?.message ?? null,
    conditions,
    hostIP: facts.hostIP,
    hostIPs: [{ ip: facts.hostIP }],
    ...(facts.podIP ? { podIP: facts.podIP, podIPs: [{ ip: facts.podIP }] } : {}),
    qosClass: pod.status?.qosClass ?? qosClass(pod),
    startTime: facts.startTime,
    observedGeneration: pod.metadata.generation ?? null,
    ...(initStatuses.length > 0 ? { initContainerStatuses: initStatuses } : {}),
    ...(ephemeralStatuses.length > 0 ? { ephemeralContainerStatuses: ephemeralStatuses } : {}),
    containerStatuses: statuses(["main"]).sort((a, b) => a.name < b.name ? -1 : 1),
  };
}
