import type { KubeObject } from "../../contracts.ts";
import { type Condition, isTrue, withCondition } from "../kit/conditions.ts";
import { isActive } from "../kit/pods.ts";
import { isIndexed } from "./indexes.ts";

/** First wait before a failed pod is replaced, doubled by each failure, up to six minutes, as kube does. */
const BACKOFF_MS = 10_000;
const BACKOFF_MAX_MS = 360_000;

/** How a Job ends. */
export interface Verdict {
  type: "Complete" | "Failed";
  reason: string;
  message: string;
}

/** Whether the Job has come to its end, counting pods whose outcome is noted but not yet added up. */
export function judge(job: KubeObject, status: any, mine: KubeObject[], now: number): Verdict | undefined {
  const started = Date.parse(status.startTime ?? "");
  const failed = (status.failed ?? 0) + pending(status, "failed");
  const limit = job.spec.backoffLimit ?? 6;
  // With restartPolicy OnFailure the restarts of running pods count too.
  const restarts = job.spec.template?.spec?.restartPolicy !== "OnFailure" ? 0 : mine.filter(isActive).reduce(
    (sum, pod) =>
      sum + (pod.status?.containerStatuses ?? []).reduce((n: number, c: any) => n + (c.restartCount ?? 0), 0),
    0,
  );
  if (failed > limit || (restarts > 0 && restarts > limit)) {
    return {
      type: "Failed",
      reason: "BackoffLimitExceeded",
      message: "Job has reached the specified backoff limit",
    };
  }
  const deadline = job.spec.activeDeadlineSeconds;
  if (deadline !== undefined && !job.spec.suspend && now >= started + deadline * 1000) {
    return { type: "Failed", reason: "DeadlineExceeded", message: "Job was active longer than specified deadline" };
  }
  const succeeded = (status.succeeded ?? 0) + (isIndexed(job) ? 0 : pending(status, "succeeded"));
  const { completions } = job.spec;
  const complete = completions === undefined || completions === null
    ? succeeded > 0 && !mine.some(isActive)
    : succeeded >= completions;
  if (!complete) return undefined;
  return { type: "Complete", reason: "CompletionsReached", message: "Reached expected number of succeeded pods" };
}

/** The conditions with the verdict announced and, when nothing is awaited any more, pronounced. */
export function withVerdict(
  conditions: Condition[] | undefined,
  verdict: Verdict,
  waiting: boolean,
  now: number,
): Condition[] {
  const { reason, message } = verdict;
  const before = verdict.type === "Complete" ? "SuccessCriteriaMet" : "FailureTarget";
  const announced = withCondition(conditions, { type: before, status: "True", reason, message }, now);
  return waiting ? announced : withCondition(announced, { type: verdict.type, status: "True", reason, message }, now);
}

/** Ended pods that the status names but whose counter does not include them yet. */
export function pending(status: any, outcome: "succeeded" | "failed"): number {
  return status.uncountedTerminatedPods?.[outcome]?.length ?? 0;
}

export function isFinished(job: KubeObject): boolean {
  return isTrue(job.status?.conditions, "Complete") || isTrue(job.status?.conditions, "Failed");
}

/** Milliseconds to wait before the next pod, counted from the last failure since the last success. */
export function backoffMs(mine: KubeObject[], now: number): number {
  const failures = mine.filter((pod) => pod.status?.phase === "Failed");
  const successes = mine.filter((pod) => pod.status?.phase === "Succeeded").map(endedAt);
  const since = Math.max(0, ...successes);
  const recent = failures.map(endedAt).filter((at) => at > since);
  if (recent.length === 0) return 0;
  const wait = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** (recent.length - 1));
  return Math.max(...recent) + wait - now;
}

function endedAt(pod: KubeObject): number {
  const times = (pod.status?.containerStatuses ?? []).map((c: any) => Date.parse(c.state?.terminated?.finishedAt ?? ""))
    .filter((at: number) => !Number.isNaN(at));
  return times.length > 0 ? Math.max(...times) : Date.parse(pod.metadata.creationTimestamp ?? "") || 0;
}
