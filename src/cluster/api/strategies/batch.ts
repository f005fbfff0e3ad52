import type { KubeObject } from "../../contracts.ts";
import { jsonEqual } from "../../store/freeze.ts";
import { field } from "../errors.ts";
import type { Strategy } from "../types.ts";
import { defaultPodSpec } from "./pod_defaults.ts";
import { oneOf, validatePodTemplate } from "./pod_validation.ts";

function defaultJobSpec(spec: any): void {
  spec.completionMode ??= "NonIndexed";
  if (spec.completions === undefined && spec.parallelism === undefined) {
    spec.completions = 1;
    spec.parallelism = 1;
  }
  spec.parallelism ??= 1;
  spec.backoffLimit ??= 6;
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? "Failed" : "TerminatingOrFailed";
  if (spec.template) {
    spec.template.metadata ??= {};
    spec.template.spec ??= {};
    defaultPodSpec(spec.template.spec);
  }
}

const job: Strategy = {
  defaults(object) {
    defaultJobSpec(object.spec ??= {});
  },
  /** Jobs choose their pods by their own uid unless told otherwise. */
  prepareCreate(object: KubeObject) {
    const { spec } = object;
    if (spec.manualSelector || !spec.template) return;
    const uid = object.metadata.uid!;
    const labels: Record<string, string> = spec.template.metadata.labels ??= {};
    for (const key of ["controller-uid", "batch.kubernetes.io/controller-uid"]) labels[key] = uid;
    for (const key of ["job-name", "batch.kubernetes.io/job-name"]) labels[key] = object.metadata.name;
    spec.selector = { matchLabels: { "batch.kubernetes.io/controller-uid": uid } };
  },
  validate(object, old) {
    const { spec } = object;
    const errors = spec.template ? validatePodTemplate(spec.template, "spec.template") : [];
    for (
      const name of ["parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"]
    ) {
      if (spec[name] < 0) errors.push(field.invalid(`spec.${name}`, spec[name], "must be greater than or equal to 0"));
    }
    oneOf(errors, "spec.completionMode", spec.completionMode, ["Indexed", "NonIndexed"]);
    const policy = spec.template?.spec?.restartPolicy;
    if (policy === "Always") {
      errors.push({
        type: "Required",
        field: "spec.template.spec.restartPolicy",
        message: 'Required value: valid values: "OnFailure", "Never"',
      });
    }
    if (old) {
      for (const name of ["selector", "completionMode"]) {
        if (!jsonEqual(old.spec[name], spec[name])) errors.push(field.immutable(`spec.${name}`, spec[name]));
      }
      if (!old.spec.suspend && !jsonEqual(old.spec.template, spec.template)) {
        errors.push(field.immutable("spec.template", spec.template));
      }
    }
    return errors;
  },
};

const SCHEDULE = /^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|@every \S+|\S+ \S+ \S+ \S+ \S+)$/;

const cronJob: Strategy = {
  defaults(object) {
    const spec = object.spec ??= {};
    spec.concurrencyPolicy ||= "Allow";
    spec.suspend ??= false;
    spec.successfulJobsHistoryLimit ??= 3;
    spec.failedJobsHistoryLimit ??= 1;
    const template = spec.jobTemplate?.spec?.template;
    if (template?.spec) {
      template.metadata ??= {};
      defaultPodSpec(template.spec);
    }
  },
  validate(object) {
    const { spec } = object;
    const template = spec.jobTemplate?.spec?.template;
    const errors = template ? validatePodTemplate(template, "spec.jobTemplate.spec.template") : [];
    if (spec.schedule && !SCHEDULE.test(spec.schedule)) {
      errors.push(
        field.invalid(
          "spec.schedule",
          spec.schedule,
          `expected exactly 5 fields, found ${spec.schedule.split(/\s+/).length}: [${spec.schedule}]`,
        ),
      );
    }
    oneOf(errors, "spec.concurrencyPolicy", spec.concurrencyPolicy, ["Allow", "Forbid", "Replace"]);
    if (template?.spec?.restartPolicy === "Always") {
      errors.push({
        type: "Required",
        field: "spec.jobTemplate.spec.template.spec.restartPolicy",
        message: 'Required value: valid values: "OnFailure", "Never"',
      });
    }
    return errors;
  },
};

const budget: Strategy = {
  validate(object) {
    const { spec } = object;
    return spec?.minAvailable !== undefined && spec?.maxUnavailable !== undefined
      ? [field.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")]
      : [];
  },
};

const autoscaler: Strategy = {
  defaults(object) {
    const spec = object.spec ??= {};
    spec.minReplicas ??= 1;
    spec.metrics ??= [{
      type: "Resource",
      resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } },
    }];
  },
  validate(object) {
    const { spec } = object;
    return spec.maxReplicas !== undefined && spec.maxReplicas < spec.minReplicas
      ? [field.invalid("spec.maxReplicas", spec.maxReplicas, "must be greater than or equal to `minReplicas`")]
      : [];
  },
};

export const batchStrategies: Record<string, Strategy> = {
  "batch/jobs": job,
  "batch/cronjobs": cronJob,
  "policy/poddisruptionbudgets": budget,
  "autoscaling/horizontalpodautoscalers": autoscaler,
};
