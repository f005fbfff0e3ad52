import { ApiError } from "../../api_error.ts";
import type { KubeObject } from "../../contracts.ts";
import { timestamp } from "../kit/time.ts";
import { type Condition, isTrue, withCondition } from "../kit/conditions.ts";
import type { ControllerContext } from "../kit/context.ts";
import { randomSuffix } from "../kit/hash.ts";
import { claim, deletePod, indexOrphans, isActive, isReady, isTerminated, podFromTemplate } from "../kit/pods.ts";
import { controllerOf, JOBS, keyOf, PODS } from "../kit/types.ts";
import { formatIndexes, freeIndexes, INDEX, indexOf, isIndexed, parseIndexes } from "./indexes.ts";
import { backoffMs, isFinished, judge, pending, type Verdict, withVerdict } from "./verdict.ts";
import { remove, unless, writeStatus } from "../kit/writes.ts";

const COMPONENT = "job-controller";
/** Keeps a finished pod until its outcome is in the Job's status. */
const TRACKING = "batch.kubernetes.io/job-tracking";
const BURST = 20;

/** Runs each Job's pods to completion; finished Jobs go when their TTL is over. */
export function startJobs({ api, caches, runner, events, clock }: ControllerContext): void {
  const jobs = caches.of(JOBS);
  const pods = caches.of(PODS);
  indexOrphans(pods);
  const queue = runner.register("job", reconcile);
  const strays = runner.register("job-orphan-pod", releaseStray);

  jobs.onChange((event, job) => {
    queue.add(keyOf(job));
    if (event === "DELETED") { for (const pod of pods.controlledBy(job.metadata.uid!)) strays.add(keyOf(pod)); }
  });
  pods.onChange((event, pod, previous) => {
    for (const version of [pod, previous]) {
      const owner = version && controllerOf(version);
      if (owner?.kind === "Job") queue.add(`${version!.metadata.namespace}/${owner.name}`);
    }
    if (event !== "DELETED" && pod.metadata.finalizers?.includes(TRACKING)) strays.add(keyOf(pod));
  });

  /** A pod whose Job is gone has nobody left who would note its outcome. */
  function releaseStray(key: string): void {
    const pod = pods.get(key);
    if (!pod?.metadata.finalizers?.includes(TRACKING)) return;
    const owner = controllerOf(pod);
    const job = owner?.kind === "Job" ? jobs.find(pod.metadata.namespace, owner.name) : undefined;
    if (job && job.metadata.uid === owner!.uid) return;
    release(pod);
  }

  function reconcile(key: string): void {
    const job = jobs.get(key);
    if (!job || job.metadata.deletionTimestamp) return;
    if (isFinished(job)) return afterwards(job);
    const mine = claim(api, PODS, pods, job, job.spec.selector);
    const counted = count(job, mine);
    const now = clock.now();
    const status: any = { ...counted };
    status.startTime ??= job.spec.suspend ? undefined : timestamp(now);
    const active = mine.filter(isActive);
    const verdict = judge(job, status, mine, now);
    let failure: string | undefined;
    if (verdict) {
      for (const pod of mine) if (!isTerminated(pod) && !pod.metadata.deletionTimestamp) deletePod(api, pod);
      // The verdict is final when every pod has ended and been counted.
      const waiting = mine.some((pod) => !isTerminated(pod) || pod.metadata.finalizers?.includes(TRACKING));
      status.conditions = withVerdict(status.conditions, verdict, waiting, now);
      if (!waiting && verdict.type === "Complete") status.completionTime = timestamp(now);
      if (!waiting) announce(job, verdict);
      for (const field of ["active", "ready"]) delete status[field];
    } else if (job.spec.suspend) {
      for (const pod of active) deletePod(api, pod);
      delete status.startTime;
      status.conditions = withCondition(status.conditions, {
        type: "Suspended",
        status: "True",
        reason: "JobSuspended",
        message: "Job suspended",
      }, now);
    } else {
      if (isTrue(status.conditions, "Suspended")) {
        status.conditions = withCondition(status.conditions, {
          type: "Suspended",
          status: "False",
          reason: "JobResumed",
          message: "Job resumed",
        }, now);
        status.startTime = timestamp(now);
      }
      failure = manage(job, status, mine, active, now);
      const deadline = job.spec.activeDeadlineSeconds;
      if (deadline !== undefined) queue.addAfter(key, Date.parse(status.startTime) + deadline * 1000 - now + 1);
    }
    if (!verdict) {
      status.active = active.length;
      status.ready = active.filter(isReady).length;
      status.terminating = mine.filter((pod) => pod.metadata.deletionTimestamp && !isTerminated(pod)).length;
    }
    for (const field of ["active", "succeeded", "failed"]) if (status[field] === 0) delete status[field];
    for (const field of Object.keys(status)) if (status[field] === undefined) delete status[field];
    writeStatus(api, JOBS, api.get(JOBS, job.metadata.namespace, job.metadata.name) ?? job, status);
    if (failure !== undefined) throw new ApiError(500, "FailedCreate", failure);
  }

  /**
   * Moves ended pods into the status: first their UIDs are stored as uncounted, then they lose the finalizer, and what
   * is stored as uncounted without a finalizer is added to the counters. A crash between any two of these counts no pod
   * twice and forgets none.
   */
  function count(job: KubeObject, mine: KubeObject[]): any {
    const status = structuredClone(job.status ?? {});
    const uncounted = {
      succeeded: [...status.uncountedTerminatedPods?.succeeded ?? []] as string[],
      failed: [...status.uncountedTerminatedPods?.failed ?? []] as string[],
    };
    const tracked = new Map(
      mine.filter((pod) => pod.metadata.finalizers?.includes(TRACKING)).map((pod) => [pod.metadata.uid!, pod]),
    );
    for (const outcome of ["succeeded", "failed"] as const) {
      const settled = uncounted[outcome].filter((uid) => !tracked.has(uid));
      status[outcome] = (status[outcome] ?? 0) + settled.length;
      uncounted[outcome] = uncounted[outcome].filter((uid) => tracked.has(uid));
    }
    const ended: KubeObject[] = [];
    for (const pod of tracked.values()) {
      const uid = pod.metadata.uid!;
      // A pod that is deleted while it runs counts as failed once it is gone from its node.
      const outcome = pod.status?.phase === "Succeeded" ? "succeeded" : isTerminated(pod) ? "failed" : undefined;
      const abandoned = outcome === undefined && pod.metadata.deletionTimestamp !== undefined &&
        (!pod.spec.nodeName || pod.metadata.deletionGracePeriodSeconds === 0);
      if (!outcome && !abandoned) continue;
      ended.push(pod);
      const list = uncounted[outcome ?? "failed"];
      if (uncounted.succeeded.includes(uid) || uncounted.failed.includes(uid)) continue;
      list.push(uid);
      if (outcome === "succeeded" && isIndexed(job)) {
        const index = indexOf(pod);
        if (index !== undefined && index < (job.spec.completions ?? 0)) {
          status.completedIndexes = formatIndexes(new Set([...parseIndexes(status.completedIndexes), index]));
        }
      }
    }
    if (isIndexed(job)) status.succeeded = parseIndexes(status.completedIndexes).size;
    status.uncountedTerminatedPods = {
      ...(uncounted.succeeded.length > 0 ? { succeeded: uncounted.succeeded } : {}),
      ...(uncounted.failed.length > 0 ? { failed: uncounted.failed } : {}),
    };
    if (ended.length > 0) {
      writeStatus(
        api,
        JOBS,
        job,
        Object.fromEntries(Object.entries(status).filter(([, value]) => value !== undefined && value !== 0)),
      );
      for (const pod of ended.slice(0, BURST)) release(pod);
      queue.add(keyOf(job));
    }
    return status;
  }

  function release(pod: KubeObject): void {
    unless(["NotFound", "Conflict"], () =>
      api.patch(PODS, pod.metadata.namespace, pod.metadata.name, "merge", {
        metadata: { finalizers: (pod.metadata.finalizers ?? []).filter((finalizer) => finalizer !== TRACKING) },
      }));
  }

  /** Makes or deletes pods so that as many run as parallelism and the completions still missing allow. */
  function manage(
    job: KubeObject,
    status: any,
    mine: KubeObject[],
    active: KubeObject[],
    now: number,
  ): string | undefined {
    const succeeded = (status.succeeded ?? 0) + (isIndexed(job) ? 0 : pending(status, "succeeded"));
    const parallelism: number = job.spec.parallelism ?? 1;
    let wanted: number;
    if (job.spec.completions === undefined || job.spec.completions === null) {
      // A work queue: once one pod has succeeded no more are made.
      wanted = succeeded > 0 ? active.length : parallelism;
    } else wanted = Math.min(parallelism, job.spec.completions - succeeded);
    if (active.length > wanted) {
      const surplus = [...active].sort((a, b) => Number(isReady(a)) - Number(isReady(b))).slice(
        0,
        active.length - wanted,
      );
      for (const pod of surplus) {
        deletePod(api, pod);
        events.normal(job, COMPONENT, "SuccessfulDelete", `Deleted pod: ${pod.metadata.name}`);
      }
      return undefined;
    }
    // A pod that is still ending keeps its place until it is gone.
    const ending = mine.filter((pod) => pod.metadata.deletionTimestamp && !isTerminated(pod)).length;
    const missing = wanted - active.length - ending;
    if (missing <= 0) return undefined;
    const wait = backoffMs(mine, now);
    if (wait > 0) {
      queue.addAfter(keyOf(job), wait);
      return undefined;
    }
    const indexes = isIndexed(job) ? freeIndexes(job, status, mine, BURST) : undefined;
    for (let i = 0; i < Math.min(missing, BURST, indexes?.length ?? Infinity); i++) {
      try {
        const pod = api.create(PODS, jobPod(job, indexes?.[i]));
        events.normal(job, COMPONENT, "SuccessfulCreate", `Created pod: ${pod.metadata.name}`);
      } catch (thrown) {
        if (!(thrown instanceof ApiError)) throw thrown;
        if (JSON.stringify(thrown.details ?? {}).includes("NamespaceTerminating")) return undefined;
        events.warning(job, COMPONENT, "FailedCreate", `Error creating: ${thrown.message}`);
        return thrown.message;
      }
    }
    if (missing > BURST) queue.add(keyOf(job));
    return undefined;
  }

  function announce(job: KubeObject, verdict: Verdict): void {
    if (verdict.type === "Complete") events.normal(job, COMPONENT, "Completed", "Job completed");
    else events.warning(job, COMPONENT, verdict.reason, verdict.message);
  }

  /** What happens to a Job that has ended: the rest of its pods are counted, and it goes when its time is over. */
  function afterwards(job: KubeObject): void {
    for (const pod of pods.controlledBy(job.metadata.uid!)) {
      if (pod.metadata.finalizers?.includes(TRACKING) && isTerminated(pod)) release(pod);
    }
    const ttl = job.spec.ttlSecondsAfterFinished;
    if (ttl === undefined || ttl === null) return;
    const ended = (job.status.conditions as Condition[]).find(({ type, status }) =>
      (type === "Complete" || type === "Failed") && status === "True"
    );
    const left = Date.parse(ended?.lastTransitionTime ?? "") + ttl * 1000 - clock.now();
    if (left > 0) queue.addAfter(keyOf(job), left);
    else remove(api, JOBS, job, { propagationPolicy: "Foreground" });
  }
}

/** A pod of the Job that its finalizer keeps until it is counted. */
function jobPod(job: KubeObject, index: number | undefined): KubeObject {
  const pod = podFromTemplate(job, job.spec.template);
  pod.metadata.finalizers = [...pod.metadata.finalizers ?? [], TRACKING];
  if (index === undefined) return pod;
  pod.metadata.name = `${job.metadata.name}-${index}-${randomSuffix()}`;
  delete pod.metadata.generateName;
  pod.metadata.annotations![INDEX] = String(index);
  pod.metadata.labels![INDEX] = String(index);
  pod.spec.hostname ??= `${job.metadata.name}-${index}`;
  for (const container of [...pod.spec.containers ?? [], ...pod.spec.initContainers ?? []]) {
    container.env = [...container.env ?? [], {
      name: "JOB_COMPLETION_INDEX",
      valueFrom: { fieldRef: { fieldPath: `metadata.annotations['${INDEX}']` } },
    }];
  }
  return pod;
}
