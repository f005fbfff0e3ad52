import type { KubeObject } from "../../contracts.ts";
import { jsonEqual } from "../../store/freeze.ts";
import { validateDefinition } from "../crd/definition.ts";
import { field } from "../errors.ts";
import { indexPath } from "../schema/schema.ts";
import type { FieldError, Strategy } from "../types.ts";
import { oneOf } from "./pod_validation.ts";

const SIZE_LIMIT = 1024 * 1024;

const namespace: Strategy = {
  nameRule: "label",
  noGeneration: true,
  prepareCreate(object) {
    object.spec = { finalizers: ["kubernetes"] };
    object.status = { phase: "Active" };
  },
  prepareUpdate(object, old) {
    object.spec = { ...object.spec, finalizers: old.spec?.finalizers };
  },
  defaults(object) {
    object.metadata.labels ??= {};
    object.metadata.labels["kubernetes.io/metadata.name"] = object.metadata.name;
  },
};

const DATA_KEY = /^[-._a-zA-Z0-9]+$/;
const DATA_KEY_TEXT = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' " +
  "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

function validateData(object: KubeObject, old: KubeObject | undefined, parts: string[]): FieldError[] {
  const errors: FieldError[] = [];
  let size = 0;
  for (const part of parts) {
    for (const [key, value] of Object.entries<string>(object[part] ?? {})) {
      size += value.length;
      if (key.length > 253 || !DATA_KEY.test(key)) errors.push(field.invalid(`${part}[${key}]`, key, DATA_KEY_TEXT));
    }
  }
  if (size > SIZE_LIMIT * (parts.includes("data") && object.kind === "Secret" ? 4 / 3 : 1)) {
    errors.push({ type: "TooLong", field: parts[0], message: `Too long: may not be more than ${SIZE_LIMIT} bytes` });
  }
  if (old?.immutable) {
    if (!object.immutable) errors.push(field.forbidden("immutable", "field is immutable when `immutable` is set"));
    for (const part of parts) {
      if (!jsonEqual(old[part] ?? {}, object[part] ?? {})) {
        errors.push(field.forbidden(part, "field is immutable when `immutable` is set"));
      }
    }
  }
  return errors;
}

const configMap: Strategy = {
  noGeneration: true,
  validate: (object, old) => validateData(object, old, ["data", "binaryData"]),
};

const SECRET_KEYS: Record<string, string[]> = {
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
  "kubernetes.io/dockercfg": [".dockercfg"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
};

const secret: Strategy = {
  noGeneration: true,
  defaults(object) {
    object.type ||= "Opaque";
    if (object.stringData) {
      object.data ??= {};
      for (const [key, value] of Object.entries<string>(object.stringData)) object.data[key] = encodeBase64(value);
      delete object.stringData;
    }
  },
  validate(object, old) {
    const errors = validateData(object, old, ["data"]);
    for (const key of SECRET_KEYS[object.type] ?? []) {
      if (object.data?.[key] === undefined) errors.push(field.required(`data[${key}]`));
    }
    if (
      object.type === "kubernetes.io/service-account-token" &&
      !object.metadata.annotations?.["kubernetes.io/service-account.name"]
    ) {
      errors.push(field.required("metadata.annotations[kubernetes.io/service-account.name]"));
    }
    if (old && old.type !== object.type) errors.push(field.immutable("type", object.type));
    return errors;
  },
};

function encodeBase64(text: string): string {
  return new TextEncoder().encode(text).toBase64();
}

const node: Strategy = { keepsStatusOnCreate: true, noGeneration: true };

const serviceAccount: Strategy = { noGeneration: true };

const event: Strategy = {
  noGeneration: true,
  defaults(object) {
    object.source ??= {};
    object.reportingComponent ??= "";
    object.reportingInstance ??= "";
  },
};

const newEvent: Strategy = { noGeneration: true };

const lease: Strategy = { noGeneration: true };

const claim: Strategy = {
  defaults(object) {
    const spec = object.spec ??= {};
    spec.volumeMode ??= "Filesystem";
  },
  prepareCreate(object) {
    object.status = { phase: "Pending" };
  },
};

const volume: Strategy = {
  defaults(object) {
    const spec = object.spec ??= {};
    spec.persistentVolumeReclaimPolicy ??= "Retain";
    spec.volumeMode ??= "Filesystem";
  },
  prepareCreate(object) {
    object.status = { phase: "Pending" };
  },
};

const priorityClass: Strategy = {
  defaults(object) {
    object.preemptionPolicy ??= "PreemptLowerPriority";
  },
  validate(object, old) {
    return old && old.value !== object.value ? [field.forbidden("value", "may not be changed in an update.")] : [];
  },
};

const storageClass: Strategy = {
  noGeneration: true,
  defaults(object) {
    object.reclaimPolicy ??= "Delete";
    object.volumeBindingMode ??= "Immediate";
  },
};

const binding: Strategy = {
  nameRule: "path",
  noGeneration: true,
  defaults(object) {
    const { roleRef } = object;
    if (roleRef) roleRef.apiGroup ||= "rbac.authorization.k8s.io";
    for (const subject of object.subjects ?? []) {
      if (["User", "Group"].includes(subject.kind)) subject.apiGroup ||= "rbac.authorization.k8s.io";
    }
  },
  validate(object, old) {
    const errors: FieldError[] = [];
    if (!object.roleRef?.name) errors.push(field.required("roleRef.name"));
    const kinds = object.kind === "ClusterRoleBinding" ? ["ClusterRole"] : ["Role", "ClusterRole"];
    oneOf(errors, "roleRef.kind", object.roleRef?.kind ?? "", kinds);
    (object.subjects ?? []).forEach((subject: any, i: number) => {
      const at = indexPath("subjects", i);
      if (!subject.name) errors.push(field.required(`${at}.name`));
      oneOf(errors, `${at}.kind`, subject.kind, ["ServiceAccount", "User", "Group"]);
      if (subject.kind === "ServiceAccount" && !subject.namespace && object.kind === "ClusterRoleBinding") {
        errors.push(field.required(`${at}.namespace`));
      }
    });
    if (old && !jsonEqual(old.roleRef, object.roleRef)) {
      errors.push(field.invalid("roleRef", object.roleRef, "cannot change roleRef"));
    }
    return errors;
  },
};

const role: Strategy = {
  nameRule: "path",
  noGeneration: true,
  validate(object) {
    const errors: FieldError[] = [];
    (object.rules ?? []).forEach((rule: any, i: number) => {
      const at = indexPath("rules", i);
      if (!rule.verbs?.length) errors.push(field.required(`${at}.verbs`, "verbs must contain at least one value"));
      if (rule.nonResourceURLs?.length) {
        if (object.kind === "Role") {
          errors.push(
            field.invalid(
              `${at}.nonResourceURLs`,
              rule.nonResourceURLs,
              "namespaced rules cannot apply to non-resource URLs",
            ),
          );
        }
        return;
      }
      if (!rule.apiGroups?.length) {
        errors.push(field.required(`${at}.apiGroups`, "resource rules must supply at least one api group"));
      }
      if (!rule.resources?.length) {
        errors.push(field.required(`${at}.resources`, "resource rules must supply at least one resource"));
      }
    });
    return errors;
  },
};

const webhooks: Strategy = {
  defaults(object) {
    for (const hook of object.webhooks ?? []) {
      hook.failurePolicy ??= "Fail";
      hook.matchPolicy ??= "Equivalent";
      hook.namespaceSelector ??= {};
      hook.objectSelector ??= {};
      hook.timeoutSeconds ??= 10;
      if (object.kind === "MutatingWebhookConfiguration") hook.reinvocationPolicy ??= "Never";
      if (hook.clientConfig?.service) hook.clientConfig.service.port ??= 443;
      for (const rule of hook.rules ?? []) rule.scope ??= "*";
    }
  },
  validate(object) {
    const errors: FieldError[] = [];
    const names = new Set<string>();
    (object.webhooks ?? []).forEach((hook: any, i: number) => {
      const at = indexPath("webhooks", i);
      if (!hook.name) errors.push(field.required(`${at}.name`));
      else if (names.has(hook.name)) errors.push(field.duplicate(`${at}.name`, hook.name));
      names.add(hook.name);
      oneOf(errors, `${at}.failurePolicy`, hook.failurePolicy, ["Fail", "Ignore"]);
      if (!hook.sideEffects) errors.push(field.required(`${at}.sideEffects`, "must specify one of None, NoneOnDryRun"));
      if (!hook.admissionReviewVersions?.length) {
        errors.push(field.required(`${at}.admissionReviewVersions`, "must specify one of v1, v1beta1"));
      }
    });
    return errors;
  },
};

const definition: Strategy = {
  defaults(object) {
    const spec = object.spec ??= {};
    spec.conversion ??= { strategy: "None" };
    const names = spec.names ??= {};
    if (names.kind) {
      names.singular ||= names.kind.toLowerCase();
      names.listKind ||= `${names.kind}List`;
    }
  },
  validate: validateDefinition,
};

export const configStrategies: Record<string, Strategy> = {
  "/namespaces": namespace,
  "/configmaps": configMap,
  "/secrets": secret,
  "/nodes": node,
  "/serviceaccounts": serviceAccount,
  "/events": event,
  "events.k8s.io/events": newEvent,
  "/persistentvolumeclaims": claim,
  "/persistentvolumes": volume,
  "coordination.k8s.io/leases": lease,
  "scheduling.k8s.io/priorityclasses": priorityClass,
  "storage.k8s.io/storageclasses": storageClass,
  "rbac.authorization.k8s.io/rolebindings": binding,
  "rbac.authorization.k8s.io/clusterrolebindings": binding,
  "rbac.authorization.k8s.io/roles": role,
  "rbac.authorization.k8s.io/clusterroles": role,
  "admissionregistration.k8s.io/mutatingwebhookconfigurations": webhooks,
  "admissionregistration.k8s.io/validatingwebhookconfigurations": webhooks,
  "apiextensions.k8s.io/customresourcedefinitions": definition,
};
