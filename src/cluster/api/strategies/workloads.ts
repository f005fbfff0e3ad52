import type { KubeObject } from "../../contracts.ts";
import { jsonEqual } from "../../store/freeze.ts";
import { field } from "../errors.ts";
import type { FieldError, Strategy } from "../types.ts";
import { defaultPodSpec } from "./pod_defaults.ts";
import { oneOf, validatePodTemplate } from "./pod_validation.ts";
import { validateSelector } from "./selector_validation.ts";

function defaultTemplate(object: KubeObject): void {
  const spec = object.spec ??= {};
  if (spec.template) {
    spec.template.metadata ??= {};
    spec.template.spec ??= {};
    defaultPodSpec(spec.template.spec);
  }
}

/** Checks that are the same for everything with a selector and a pod template. */
export function validateWorkload(
  object: KubeObject,
  old: KubeObject | undefined,
  restartPolicies = ["Always"],
): FieldError[] {
  const spec = object.spec;
  const errors: FieldError[] = [];
  if (spec.replicas < 0) {
    errors.push(field.invalid("spec.replicas", spec.replicas, "must be greater than or equal to 0"));
  }
  if (spec.selector) {
    errors.push(...validateSelector(spec.selector, "spec.selector"));
    const matched = spec.selector.matchLabels ?? {};
    if (Object.keys(matched).length === 0 && !spec.selector.matchExpressions?.length) {
      errors.push(
        field.invalid("spec.selector", spec.selector, `empty selector is invalid for ${object.kind.toLowerCase()}`),
      );
    } else if (
      spec.template && !Object.entries(matched).every(([key, value]) => spec.template.metadata?.labels?.[key] === value)
    ) {
      errors.push(
        field.invalid(
          "spec.template.metadata.labels",
          spec.template.metadata?.labels ?? {},
          "`selector` does not match template `labels`",
        ),
      );
    }
  }
  if (spec.template) {
    errors.push(...validatePodTemplate(spec.template, "spec.template"));
    if (spec.template.spec?.restartPolicy && !restartPolicies.includes(spec.template.spec.restartPolicy)) {
      errors.push(
        field.notSupported("spec.template.spec.restartPolicy", spec.template.spec.restartPolicy, restartPolicies),
      );
    }
  }
  if (old && !jsonEqual(old.spec.selector, spec.selector)) errors.push(field.immutable("spec.selector", spec.selector));
  return errors;
}

function validatePercentage(errors: FieldError[], path: string, value: unknown): void {
  if (typeof value === "number" ? value < 0 : value !== undefined && !/^\d+%$/.test(String(value))) {
    errors.push(
      field.invalid(
        path,
        value,
        typeof value === "number"
          ? "must be greater than or equal to 0"
          : "a valid percent string must be a numeric string followed by an ending '%'",
      ),
    );
  }
}

const deployment: Strategy = {
  defaults(object) {
    defaultTemplate(object);
    const spec = object.spec;
    spec.replicas ??= 1;
    spec.revisionHistoryLimit ??= 10;
    spec.progressDeadlineSeconds ??= 600;
    spec.strategy ??= {};
    spec.strategy.type ||= "RollingUpdate";
    if (spec.strategy.type === "RollingUpdate") {
      spec.strategy.rollingUpdate ??= {};
      spec.strategy.rollingUpdate.maxUnavailable ??= "25%";
      spec.strategy.rollingUpdate.maxSurge ??= "25%";
    }
  },
  validate(object, old) {
    const errors = validateWorkload(object, old);
    const { strategy } = object.spec;
    oneOf(errors, "spec.strategy.type", strategy.type, ["Recreate", "RollingUpdate"]);
    if (strategy.type === "Recreate" && strategy.rollingUpdate) {
      errors.push(
        field.forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"),
      );
    }
    validatePercentage(errors, "spec.strategy.rollingUpdate.maxUnavailable", strategy.rollingUpdate?.maxUnavailable);
    validatePercentage(errors, "spec.strategy.rollingUpdate.maxSurge", strategy.rollingUpdate?.maxSurge);
    const isZero = (value: unknown) => value === 0 || /^0+%$/.test(String(value));
    if (
      strategy.rollingUpdate && isZero(strategy.rollingUpdate.maxUnavailable) && isZero(strategy.rollingUpdate.maxSurge)
    ) {
      errors.push(
        field.invalid(
          "spec.strategy.rollingUpdate.maxUnavailable",
          strategy.rollingUpdate.maxUnavailable,
          "may not be 0 when `maxSurge` is 0",
        ),
      );
    }
    return errors;
  },
};

const replicaSet: Strategy = {
  defaults(object) {
    defaultTemplate(object);
    object.spec.replicas ??= 1;
  },
  validate: (object, old) => validateWorkload(object, old),
};

const daemonSet: Strategy = {
  defaults(object) {
    defaultTemplate(object);
    const spec = object.spec;
    spec.revisionHistoryLimit ??= 10;
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ||= "RollingUpdate";
    if (spec.updateStrategy.type === "RollingUpdate") {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
      spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
    }
  },
  validate(object, old) {
    const errors = validateWorkload(object, old);
    oneOf(errors, "spec.updateStrategy.type", object.spec.updateStrategy.type, ["OnDelete", "RollingUpdate"]);
    return errors;
  },
};

const STATEFUL_MUTABLE = [
  "replicas",
  "ordinals",
  "template",
  "updateStrategy",
  "revisionHistoryLimit",
  "persistentVolumeClaimRetentionPolicy",
  "minReadySeconds",
];

const statefulSet: Strategy = {
  defaults(object) {
    defaultTemplate(object);
    const spec = object.spec;
    spec.replicas ??= 1;
    spec.revisionHistoryLimit ??= 10;
    spec.podManagementPolicy ||= "OrderedReady";
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ||= "RollingUpdate";
    if (spec.updateStrategy.type === "RollingUpdate") {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.partition ??= 0;
    }
    spec.persistentVolumeClaimRetentionPolicy ??= { whenDeleted: "Retain", whenScaled: "Retain" };
    for (const claim of spec.volumeClaimTemplates ?? []) {
      claim.apiVersion ??= "v1";
      claim.kind ??= "PersistentVolumeClaim";
      if (claim.spec) claim.spec.volumeMode ??= "Filesystem";
      claim.status ??= { phase: "Pending" };
    }
  },
  validate(object, old) {
    const errors = validateWorkload(object, old).filter((error) => !old || error.field !== "spec.selector");
    // Mounts may name the volumes that come from claim templates.
    const claims = new Set(
      (object.spec.volumeClaimTemplates ?? []).map((claim: any) => JSON.stringify(claim.metadata?.name)),
    );
    const kept = errors.filter((error) => !claims.has(error.message.replace("Not found: ", "")));
    oneOf(kept, "spec.podManagementPolicy", object.spec.podManagementPolicy, ["OrderedReady", "Parallel"]);
    const rest = (spec: any) =>
      Object.fromEntries(Object.entries(spec).filter(([key]) => !STATEFUL_MUTABLE.includes(key)));
    if (old && !jsonEqual(rest(old.spec), rest(object.spec))) {
      kept.push(field.forbidden(
        "spec",
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', " +
          "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
      ));
    }
    return kept;
  },
};

const replicationController: Strategy = {
  defaults(object) {
    defaultTemplate(object);
    object.spec.replicas ??= 1;
    object.spec.selector ??= structuredClone(object.spec.template?.metadata?.labels);
  },
};

export const workloadStrategies: Record<string, Strategy> = {
  "apps/deployments": deployment,
  "apps/replicasets": replicaSet,
  "apps/daemonsets": daemonSet,
  "apps/statefulsets": statefulSet,
  "/replicationcontrollers": replicationController,
};
