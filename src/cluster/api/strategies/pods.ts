import { randomSuffix } from "../names.ts";
import { ApiError } from "../../api_error.ts";
import type { KubeObject } from "../../contracts.ts";
import { jsonEqual } from "../../store/freeze.ts";
import { field } from "../errors.ts";
import type { AdmissionEnv, FieldError, Strategy } from "../types.ts";
import { defaultPodSpec } from "./pod_defaults.ts";
import { validatePodSpec } from "./pod_validation.ts";
import { qosClass } from "./qos.ts";

const TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
const TOKEN_LIFETIME_S = 3607;

/** What the ServiceAccount admission of a real API server does. */
function admitServiceAccount(pod: KubeObject, env: AdmissionEnv): void {
  const spec = pod.spec;
  if (pod.metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined) return;
  spec.serviceAccountName ||= "default";
  spec.serviceAccount = spec.serviceAccountName;
  const account = env.get("/serviceaccounts", pod.metadata.namespace!, spec.serviceAccountName);
  if (!account) {
    throw ApiError.forbidden(
      `pods "${pod.metadata.name}" is forbidden: error looking up service account ${pod.metadata.namespace}/` +
        `${spec.serviceAccountName}: serviceaccount "${spec.serviceAccountName}" not found`,
      { name: pod.metadata.name, kind: "pods" },
    );
  }
  if (account.imagePullSecrets && !spec.imagePullSecrets) {
    spec.imagePullSecrets = structuredClone(account.imagePullSecrets);
  }
  const automount = spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
  if (!automount) return;
  const containers = [...spec.initContainers ?? [], ...spec.containers ?? []].filter((container) =>
    !(container.volumeMounts ?? []).some((mount: any) => mount.mountPath === TOKEN_MOUNT)
  );
  if (containers.length === 0) return;
  const existing = (spec.volumes ?? []).find((volume: any) => volume.name?.startsWith("kube-api-access-"));
  const name = existing?.name ?? `kube-api-access-${randomSuffix()}`;
  for (const container of containers) {
    container.volumeMounts = [...container.volumeMounts ?? [], { name, readOnly: true, mountPath: TOKEN_MOUNT }];
  }
  if (existing) return;
  spec.volumes = [...spec.volumes ?? [], {
    name,
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: TOKEN_LIFETIME_S, path: "token" } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
        {
          downwardAPI: {
            items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
          },
        },
      ],
      defaultMode: 0o644,
    },
  }];
}

const NODE_TAINT_TOLERATION_S = 300;

/** Tolerations of DefaultTolerationSeconds, and the priority of the pod's class. */
function admitScheduling(pod: KubeObject, env: AdmissionEnv): void {
  const spec = pod.spec;
  const tolerations: any[] = spec.tolerations ?? [];
  for (const key of ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]) {
    const tolerated = tolerations.some((toleration) =>
      (toleration.key === key || !toleration.key) && (toleration.effect === "NoExecute" || !toleration.effect)
    );
    if (!tolerated) {
      tolerations.push({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds: NODE_TAINT_TOLERATION_S });
    }
  }
  spec.tolerations = tolerations;
  let priorityClass: KubeObject | undefined;
  if (spec.priorityClassName) {
    priorityClass = env.get("scheduling.k8s.io/priorityclasses", "", spec.priorityClassName);
    if (!priorityClass) {
      throw ApiError.forbidden(
        `pods "${pod.metadata.name}" is forbidden: no PriorityClass with name ${spec.priorityClassName} was found`,
        { name: pod.metadata.name, kind: "pods" },
      );
    }
  } else {
    for (const candidate of env.list("scheduling.k8s.io/priorityclasses")) {
      if (candidate.globalDefault) priorityClass = candidate;
    }
    if (priorityClass) spec.priorityClassName = priorityClass.metadata.name;
  }
  spec.priority = priorityClass?.value ?? 0;
  spec.preemptionPolicy = priorityClass?.preemptionPolicy ?? "PreemptLowerPriority";
  const runtime = spec.runtimeClassName && env.get("node.k8s.io/runtimeclasses", "", spec.runtimeClassName);
  if (spec.runtimeClassName && !runtime) {
    throw ApiError.forbidden(
      `pods "${pod.metadata.name}" is forbidden: pod rejected: RuntimeClass "${spec.runtimeClassName}" not found`,
      { name: pod.metadata.name, kind: "pods" },
    );
  }
}

/** What may change in the spec of a pod: images, the deadline, added tolerations, gates taken away. */
function validatePodUpdate(pod: KubeObject, old: KubeObject): FieldError[] {
  const strip = (spec: any) => {
    const rest = { ...spec };
    for (const list of ["containers", "initContainers"]) {
      if (rest[list]) {
        rest[list] = rest[list].map((container: any) => ({ ...container, image: undefined, resources: undefined }));
      }
    }
    for (
      const key of [
        "activeDeadlineSeconds",
        "tolerations",
        "terminationGracePeriodSeconds",
        "schedulingGates",
        "ephemeralContainers",
      ]
    ) {
      delete rest[key];
    }
    if (old.spec.schedulingGates?.length > 0) delete rest.nodeSelector, delete rest.affinity;
    return rest;
  };
  const errors: FieldError[] = [];
  const tolerations: any[] = pod.spec.tolerations ?? [];
  const kept = (old.spec.tolerations ?? []).every((item: any) =>
    tolerations.some((other) => jsonEqual({ ...other, tolerationSeconds: 0 }, { ...item, tolerationSeconds: 0 }))
  );
  if (!jsonEqual(strip(pod.spec), strip(old.spec)) || !kept) {
    errors.push(field.forbidden(
      "spec",
      "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`," +
        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)," +
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    ));
  }
  return errors;
}

const podStrategy: Strategy = {
  defaults(pod) {
    pod.spec ??= {};
    defaultPodSpec(pod.spec);
    pod.spec.enableServiceLinks ??= true;
  },
  prepareCreate(pod) {
    pod.status = { phase: "Pending", qosClass: qosClass(pod.spec) };
  },
  admit(pod, old, env) {
    if (old) return;
    admitServiceAccount(pod, env);
    admitScheduling(pod, env);
  },
  validate(pod, old) {
    return old ? validatePodUpdate(pod, old) : validatePodSpec(pod.spec, "spec");
  },
  gracePeriod(pod, requested) {
    if (!pod.spec?.nodeName || ["Succeeded", "Failed"].includes(pod.status?.phase)) return 0;
    const grace = requested ?? pod.spec.terminationGracePeriodSeconds ?? 30;
    return grace < 0 ? 1 : grace;
  },
};

const template: Strategy = {
  defaults(object) {
    if (object.template?.spec) defaultPodSpec(object.template.spec);
  },
};

export const podStrategies: Record<string, Strategy> = { "/pods": podStrategy, "/podtemplates": template };
