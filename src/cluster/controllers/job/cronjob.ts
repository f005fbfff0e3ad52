import { MeshError } from "../../../core/errors.ts";
import { ApiError } from "../../api_error.ts";
import type { KubeObject } from "../../contracts.ts";
import { timestamp } from "../kit/time.ts";
import { isTrue } from "../kit/conditions.ts";
import type { ControllerContext } from "../kit/context.ts";
import { controllerOf, CRON_JOBS, JOBS, keyOf, ownerReference } from "../kit/types.ts";
import { remove, writeStatus } from "../kit/writes.ts";
import { parseSchedule, type Schedule } from "./schedule.ts";
import { isFinished } from "./verdict.ts";

const COMPONENT = "cronjob-controller";
/** More starts missed than this, and something is wrong with the clock or the deadline: none is made up for. */
const TOO_MANY_MISSED = 100;

/** Makes a Job each time a CronJob's schedule says so. */
export function startCronJobs({ api, caches, runner, events, clock }: ControllerContext): void {
  const crons = caches.of(CRON_JOBS);
  const jobs = caches.of(JOBS);
  const queue = runner.register("cronjob", reconcile);

  crons.onChange((_event, cron) => queue.add(keyOf(cron)));
  jobs.onChange((_event, job) => {
    const owner = controllerOf(job);
    if (owner?.kind === "CronJob") queue.add(`${job.metadata.namespace}/${owner.name}`);
  });

  function reconcile(key: string): void {
    const cron = crons.get(key);
    if (!cron || cron.metadata.deletionTimestamp) return;
    const mine = jobs.controlledBy(cron.metadata.uid!);
    forgetOld(cron, mine);
    const status: any = { ...cron.status };
    const active = mine.filter((job) => !isFinished(job));
    const succeeded = mine.filter((job) => isTrue(job.status?.conditions, "Complete"));
    const last = succeeded.map((job) => job.status.completionTime as string).sort().at(-1);
    if (last) status.lastSuccessfulTime = last;
    try {
      if (!cron.spec.suspend) startDue(cron, active, status);
    } catch (thrown) {
      if (!(thrown instanceof MeshError)) throw thrown;
      events.warning(cron, COMPONENT, "UnparseableSchedule", thrown.message);
    }
    status.active = active.map((job) => ({
      apiVersion: "batch/v1",
      kind: "Job",
      name: job.metadata.name,
      namespace: job.metadata.namespace,
      uid: job.metadata.uid,
      resourceVersion: job.metadata.resourceVersion,
    }));
    if (status.active.length === 0) delete status.active;
    writeStatus(api, CRON_JOBS, cron, status);
  }

  function startDue(cron: KubeObject, active: KubeObject[], status: any): void {
    const now = clock.now();
    const schedule = parseSchedule(cron.spec.schedule, cron.spec.timeZone);
    const due = latestDue(cron, schedule, now);
    const next = schedule.next(now);
    if (next !== undefined) queue.addAfter(keyOf(cron), next - now + 10);
    if (due === undefined) return;
    const name = `${cron.metadata.name}-${Math.floor(due / 60_000)}`;
    if (jobs.find(cron.metadata.namespace, name)) return;
    if (active.length > 0 && cron.spec.concurrencyPolicy === "Forbid") {
      events.normal(
        cron,
        COMPONENT,
        "JobAlreadyActive",
        "Not starting job because prior execution is running and concurrency policy is Forbid",
      );
      return;
    }
    if (cron.spec.concurrencyPolicy === "Replace") {
      for (const job of active) {
        remove(api, JOBS, job, { propagationPolicy: "Background" });
        events.normal(cron, COMPONENT, "SuccessfulDelete", `Deleted job ${job.metadata.name}`);
      }
      active.length = 0;
    }
    const template = structuredClone(cron.spec.jobTemplate ?? {});
    try {
      const job = api.create(JOBS, {
        apiVersion: "batch/v1",
        kind: "Job",
        metadata: {
          name,
          namespace: cron.metadata.namespace,
          labels: template.metadata?.labels,
          annotations: {
            ...template.metadata?.annotations,
            "batch.kubernetes.io/cronjob-scheduled-timestamp": timestamp(due),
          },
          ownerReferences: [ownerReference(cron)],
        },
        spec: template.spec,
      });
      active.push(job);
      events.normal(cron, COMPONENT, "SuccessfulCreate", `Created job ${name}`);
    } catch (thrown) {
      if (!(thrown instanceof ApiError) || thrown.reason !== "AlreadyExists") throw thrown;
    }
    status.lastScheduleTime = timestamp(due);
  }

  /** The latest start that has come and was not made, as far back as the deadline allows. */
  function latestDue(cron: KubeObject, schedule: Schedule, now: number): number | undefined {
    const last = Date.parse(cron.status?.lastScheduleTime ?? cron.metadata.creationTimestamp ?? "");
    const deadline = cron.spec.startingDeadlineSeconds;
    let from = last;
    if (deadline !== undefined && deadline !== null) from = Math.max(from, now - deadline * 1000);
    let due: number | undefined;
    let missed = 0;
    for (let at = schedule.next(from); at !== undefined && at <= now; at = schedule.next(at)) {
      due = at;
      if (++missed > TOO_MANY_MISSED) {
        events.warning(
          cron,
          COMPONENT,
          "TooManyMissedTimes",
          "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
        );
        return newest(schedule, now);
      }
    }
    return due;
  }

  /** Deletes the oldest finished Jobs beyond the history limits. */
  function forgetOld(cron: KubeObject, mine: KubeObject[]): void {
    for (
      const [type, limit] of [
        ["Complete", cron.spec.successfulJobsHistoryLimit ?? 3],
        ["Failed", cron.spec.failedJobsHistoryLimit ?? 1],
      ] as const
    ) {
      const done = mine.filter((job) => isTrue(job.status?.conditions, type) && !job.metadata.deletionTimestamp)
        .sort((a, b) => (a.status.startTime ?? "") < (b.status.startTime ?? "") ? -1 : 1);
      for (const job of done.slice(0, Math.max(0, done.length - limit))) {
        remove(api, JOBS, job, { propagationPolicy: "Background" });
        events.normal(cron, COMPONENT, "SuccessfulDelete", `Deleted job ${job.metadata.name}`);
      }
    }
  }
}

/** The last start up to now, looked for further and further back. There must be one. */
function newest(schedule: Schedule, now: number): number {
  for (let back = 60_000;; back *= 2) {
    let due: number | undefined;
    for (let at = schedule.next(now - back); at !== undefined && at <= now; at = schedule.next(at)) due = at;
    if (due !== undefined) return due;
  }
}
