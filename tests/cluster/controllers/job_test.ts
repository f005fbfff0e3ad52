import assert from "node:assert/strict";
import { CRON_JOBS, JOBS, PODS } from "../../../src/cluster/controllers/kit/types.ts";
import { formatIndexes, parseIndexes } from "../../../src/cluster/controllers/job/indexes.ts";
import { parseSchedule } from "../../../src/cluster/controllers/job/schedule.ts";
import { type Harness, podTemplate, withHarness } from "./harness.ts";

function jobSpec(spec: Record<string, unknown> = {}): any {
  const template = podTemplate({ job: "work" });
  template.spec.restartPolicy = "Never";
  return {
    completions: 1,
    parallelism: 1,
    backoffLimit: 6,
    selector: { matchLabels: { job: "work" } },
    template,
    ...spec,
  };
}

function job(spec: Record<string, unknown> = {}): any {
  return { apiVersion: "batch/v1", kind: "Job", metadata: { name: "work", namespace: "default" }, spec: jobSpec(spec) };
}

const get = (harness: Harness) => harness.api.get(JOBS, "default", "work")!;
const isTrue = (harness: Harness, type: string) =>
  (get(harness).status.conditions ?? []).some((c: any) => c.type === type && c.status === "True");

async function finish(harness: Harness, phase: string): Promise<void> {
  await harness.settle();
  for (const pod of harness.pods()) harness.report(pod, { phase });
  await harness.run();
}

Deno.test("a Job runs as many pods as it needs, parallelism at a time, and completes", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(JOBS, job({ completions: 5, parallelism: 2 }));
    for (const [expected, done] of [[2, 2], [2, 4], [1, 5]]) {
      await harness.run();
      assert.equal(harness.pods().length, expected);
      await finish(harness, "Succeeded");
      assert.equal(get(harness).status.succeeded, done);
    }
    assert.ok(isTrue(harness, "Complete"));
    assert.ok(get(harness).status.completionTime);
    const pods = harness.api.list(PODS, { namespace: "default" });
    assert.equal(pods.length, 5);
    assert.ok(pods.every((pod) => !pod.metadata.finalizers?.length), "no pod is held back");
    assert.deepEqual(get(harness).status.uncountedTerminatedPods, {});
    assert.ok(harness.events("work").includes("Completed: Job completed"));
  });
});

Deno.test("a Job retries failed pods with growing waits, and fails beyond backoffLimit", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(JOBS, job({ backoffLimit: 2 }));
    for (const wait of [10_000, 20_000]) {
      await harness.run();
      assert.equal(harness.pods().length, 1);
      await finish(harness, "Failed");
      assert.equal(harness.pods().length, 0, "the next one waits");
      await harness.advance(wait + 100);
    }
    await finish(harness, "Failed");
    assert.ok(isTrue(harness, "Failed"));
    assert.equal(get(harness).status.failed, 3);
    assert.equal(get(harness).status.conditions.find((c: any) => c.type === "Failed").reason, "BackoffLimitExceeded");
    await harness.advance(600_000);
    assert.equal(harness.pods().length, 0);
  });
});

Deno.test("activeDeadlineSeconds ends a Job, ttlSecondsAfterFinished removes it with its pods", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(JOBS, job({ activeDeadlineSeconds: 30, ttlSecondsAfterFinished: 60 }));
    await harness.run();
    await harness.advance(31_000);
    await harness.run();
    assert.ok(isTrue(harness, "Failed"));
    assert.equal(get(harness).status.conditions.find((c: any) => c.type === "Failed").reason, "DeadlineExceeded");
    await harness.advance(61_000);
    await harness.run();
    assert.equal(harness.api.get(JOBS, "default", "work"), undefined);
    assert.equal(harness.api.list(PODS, { namespace: "default" }).length, 0);
  });
});

Deno.test("an Indexed Job gives each pod its index and needs each index once", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(JOBS, job({ completions: 3, parallelism: 3, completionMode: "Indexed" }));
    await harness.run();
    const indexOf = (pod: any) => pod.metadata.annotations["batch.kubernetes.io/job-completion-index"];
    const pods = harness.pods();
    assert.deepEqual(pods.map(indexOf).sort(), ["0", "1", "2"]);
    assert.equal(pods[0].spec.hostname, "work-0");
    assert.equal(pods[0].spec.containers[0].env[0].name, "JOB_COMPLETION_INDEX");
    harness.report(pods[0], { phase: "Succeeded" });
    harness.report(pods[1], { phase: "Failed" });
    harness.report(pods[2], { phase: "Succeeded" });
    await harness.run();
    assert.equal(get(harness).status.completedIndexes, "0,2");
    await harness.advance(11_000);
    assert.deepEqual(harness.pods().map(indexOf), ["1"]);
    await finish(harness, "Succeeded");
    assert.ok(isTrue(harness, "Complete"));
    assert.equal(get(harness).status.completedIndexes, "0-2");
  });
});

Deno.test("suspending a Job deletes its pods, resuming starts over", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(JOBS, job());
    await harness.run();
    harness.api.patch(JOBS, "default", "work", "merge", { spec: { suspend: true } });
    await harness.run();
    assert.equal(harness.pods().length, 0);
    assert.ok(isTrue(harness, "Suspended"));
    harness.api.patch(JOBS, "default", "work", "merge", { spec: { suspend: false } });
    await harness.advance(20_000);
    await harness.run();
    assert.equal(harness.pods().length, 1);
  });
});

Deno.test("deleting a Job lets its pods go, finalizers or not", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(JOBS, job({ completions: 3, parallelism: 3 }));
    await harness.run();
    harness.report(harness.pods()[0], { phase: "Succeeded" });
    harness.api.delete(JOBS, "default", "work", { propagationPolicy: "Background" });
    await harness.run();
    assert.deepEqual(harness.api.list(PODS, { namespace: "default" }), []);
  });
});

Deno.test("index lists read and write runs", () => {
  assert.equal(formatIndexes(new Set([5, 0, 1, 2, 7, 8])), "0-2,5,7,8");
  assert.deepEqual([...parseIndexes("0-2,5,7-8")], [0, 1, 2, 5, 7, 8]);
  assert.equal(parseIndexes(undefined).size, 0);
});

Deno.test("parseSchedule() finds the next time of every form of schedule", () => {
  const cases: [string, string, string, string?][] = [
    ["*/15 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:15:00Z"],
    ["0 0 * * *", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
    ["30 4 1,15 * 5", "2026-01-01T05:00:00Z", "2026-01-02T04:30:00Z"],
    ["0 12 * jan-mar mon", "2026-01-01T00:00:00Z", "2026-01-05T12:00:00Z"],
    ["0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"],
    ["0 0 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"],
    ["5-10/5 3 * * *", "2026-01-01T03:05:30Z", "2026-01-01T03:10:00Z"],
    ["@hourly", "2026-01-01T00:59:59Z", "2026-01-01T01:00:00Z"],
    ["@every 90s", "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z"],
    ["0 9 * * *", "2026-07-01T00:00:00Z", "2026-07-01T07:00:00Z", "Europe/Berlin"],
    ["30 3 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z", "Europe/Berlin"],
    ["0 0 * * *", "2026-10-24T23:00:00Z", "2026-10-25T23:00:00Z", "Europe/Berlin"],
  ];
  for (const [text, after, expected, zone] of cases) {
    const next = parseSchedule(text, zone).next(Date.parse(after))!;
    assert.equal(new Date(next).toISOString(), expected.replace("Z", ".000Z"), text);
  }
  assert.equal(parseSchedule("0 0 30 2 *").next(0), undefined, "30 February never comes");
});

Deno.test("parseSchedule() says what is wrong", () => {
  const cases: [string, RegExp, string?][] = [
    ["* * * *", /it has 4 fields/],
    ["60 * * * *", /"60" is not between 0 and 59/],
    ["* * 0 * *", /"0" is not between 1 and 31/],
    ["*/0 * * * *", /has a step that is not a positive number/],
    ["*/x * * * *", /has a step/],
    ["9-5 * * * *", /"9-5" is not a range/],
    ["1-2-3 * * * *", /is not a range/],
    ["a * * * *", /"a" is not between/],
    ["@every 0s", /never passes/],
    ["", /it has 1 fields/],
    ["0 0 * * *", /"Mars\/Base" is not a time zone/, "Mars/Base"],
  ];
  for (const [text, message, zone] of cases) assert.throws(() => parseSchedule(text, zone), message, text);
});

Deno.test("a CronJob starts Jobs on time, keeps its history short and respects Forbid", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(CRON_JOBS, {
      apiVersion: "batch/v1",
      kind: "CronJob",
      metadata: { name: "tick", namespace: "default" },
      spec: {
        schedule: "* * * * *",
        concurrencyPolicy: "Forbid",
        successfulJobsHistoryLimit: 2,
        jobTemplate: { spec: jobSpec() },
      },
    });
    const jobs = () => harness.api.list(JOBS, { namespace: "default" });
    await harness.advance(61_000);
    assert.equal(jobs().length, 1);
    const cron = () => harness.api.get(CRON_JOBS, "default", "tick")!;
    assert.equal(cron().status.lastScheduleTime, "2026-01-01T00:01:00Z");
    assert.equal(cron().status.active.length, 1);
    await harness.advance(60_000);
    assert.equal(jobs().length, 1, "the first one is still running");
    for (let i = 0; i < 5; i++) {
      await finish(harness, "Succeeded");
      await harness.advance(60_000);
    }
    assert.equal(jobs().filter((job) => job.status?.completionTime).length, 2);
    assert.ok(cron().status.lastSuccessfulTime);
    harness.api.patch(CRON_JOBS, "default", "tick", "merge", { spec: { suspend: true } });
    await finish(harness, "Succeeded");
    const before = jobs().length;
    await harness.advance(180_000);
    assert.equal(jobs().length, before);
  });
});
