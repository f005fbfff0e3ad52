import { ApiError } from "../api_error.ts";
import type { KubeObject, PatchType } from "../contracts.ts";
import type { WriteContext } from "./context.ts";
import type { ApiCore } from "./core.ts";
import { conflict, MODIFIED, notFound, unknownPath } from "./errors.ts";
import { decodeObject } from "./object_decoding.ts";
import { applyPatch } from "./patching.ts";
import { timestamp } from "./metadata.ts";
import type { ResourceType, TypeVersion } from "./types.ts";
import { storedVersion } from "./registry.ts";

/** Writes a subresource other than status: scale, finalize, approval, ephemeralcontainers, binding, eviction. */
export function writeSubresource(
  core: ApiCore,
  type: ResourceType,
  subresource: string,
  verb: "create" | "update",
  namespace: string | undefined,
  name: string,
  body: KubeObject,
  context: WriteContext,
  version: TypeVersion = storedVersion(type),
): KubeObject {
  const key = `${type.key}/${subresource}`;
  if (subresource === "scale" && verb === "update") {
    return updateScale(core, type, version, namespace, name, body, context);
  }
  switch (key) {
    case "/namespaces/finalize":
    case "certificates.k8s.io/certificatesigningrequests/approval":
    case "/pods/ephemeralcontainers": {
      const old = core.get(type, namespace, name);
      return writePart(core, type, version, old, decodeObject(type, version, body, context), context, subresource);
    }
    case "/pods/binding":
      return bindPod(core, type, namespace, name, body, context);
    case "/pods/eviction":
      return evictPod(core, type, namespace, name, body, context);
  }
  throw unknownPath();
}

/** Writes the part of an object that a subresource stands for. */
export function writePart(
  core: ApiCore,
  type: ResourceType,
  version: TypeVersion,
  old: KubeObject,
  next: KubeObject,
  context: WriteContext,
  subresource: string,
): KubeObject {
  const object = structuredClone(old) as KubeObject;
  object.metadata.resourceVersion = next.metadata.resourceVersion;
  switch (subresource) {
    case "finalize":
      object.spec = next.spec;
      break;
    case "approval":
      object.status = { ...object.status, conditions: next.status?.conditions };
      break;
    case "ephemeralcontainers":
      object.spec.ephemeralContainers = next.spec?.ephemeralContainers;
      break;
    default:
      throw unknownPath();
  }
  return core.replace(type, version, old, object, context, subresource);
}

function success(code: number): KubeObject {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code } as unknown as KubeObject;
}

/** Puts a pod on a node, once. */
function bindPod(
  core: ApiCore,
  type: ResourceType,
  namespace: string | undefined,
  name: string,
  body: KubeObject,
  context: WriteContext,
): KubeObject {
  const old = core.get(type, namespace, name);
  const node = body?.target?.name;
  if (typeof node !== "string" || node === "") throw ApiError.badRequest("target.name: Required value");
  if (old.metadata.deletionTimestamp) {
    throw conflict(type, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  }
  if (old.spec.nodeName) throw conflict(type, name, `pod ${name} is already assigned to node "${old.spec.nodeName}"`);
  const next = structuredClone(old) as KubeObject;
  next.spec.nodeName = node;
  Object.assign(next.metadata.annotations ??= {}, body.metadata?.annotations);
  next.status ??= {};
  const others = (next.status.conditions ?? []).filter((condition: any) => condition.type !== "PodScheduled");
  next.status.conditions = [...others, {
    type: "PodScheduled",
    status: "True",
    lastProbeTime: null,
    lastTransitionTime: timestamp(core.now()),
  }];
  delete next.metadata.resourceVersion;
  core.replace(type, storedVersion(type), old, next, context, "binding");
  return success(201);
}

/** Deletes a pod unless a PodDisruptionBudget forbids it. */
function evictPod(
  core: ApiCore,
  type: ResourceType,
  namespace: string | undefined,
  name: string,
  body: KubeObject,
  context: WriteContext,
): KubeObject {
  const pod = core.get(type, namespace, name);
  for (const budget of core.store.values("policy/poddisruptionbudgets", pod.metadata.namespace)) {
    const labels: Record<string, string> = budget.spec?.selector?.matchLabels ?? {};
    const selects = budget.spec?.selector &&
      Object.entries(labels).every(([key, value]) => pod.metadata.labels?.[key] === value);
    if (!selects || (budget.status?.disruptionsAllowed ?? 0) > 0 || pod.status?.phase !== "Running") continue;
    throw new ApiError(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.", {
      causes: [{
        reason: "DisruptionBudget",
        message: `The disruption budget ${budget.metadata.name} needs ${
          budget.status?.desiredHealthy ?? 0
        } healthy pods and has ${budget.status?.currentHealthy ?? 0} currently`,
      }],
    });
  }
  core.delete(type, namespace, name, { ...body?.deleteOptions, dryRun: context.dryRun });
  return success(201);
}

// Scale: one small object that stands for a field of a larger one.

/** `.spec.replicas` as ["spec", "replicas"]. */
function pathParts(path: string): string[] {
  return path.split(".").filter((part) => part !== "");
}

function readPath(object: unknown, path: string): any {
  let value: any = object;
  for (const part of pathParts(path)) value = value?.[part];
  return value;
}

function selectorText(selector: any): string {
  if (typeof selector === "string") return selector;
  const parts = Object.entries(selector?.matchLabels ?? (selector?.matchExpressions ? {} : selector ?? {})).map((
    [key, value],
  ) => `${key}=${value}`);
  for (const { key, operator, values = [] } of selector?.matchExpressions ?? []) {
    if (operator === "Exists") parts.push(key);
    else if (operator === "DoesNotExist") parts.push(`!${key}`);
    else parts.push(`${key} ${operator === "In" ? "in" : "notin"} (${[...values].sort().join(",")})`);
  }
  return parts.sort().join(",");
}

/** The `autoscaling/v1` Scale of an object. */
export function readScale(
  core: ApiCore,
  type: ResourceType,
  version: TypeVersion,
  namespace: string | undefined,
  name: string,
): KubeObject {
  if (!version.scale) throw unknownPath();
  return scaleOf(core.get(type, namespace, name), version);
}

function scaleOf(object: KubeObject, version: TypeVersion): KubeObject {
  const { scale } = version;
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = scale!.labelSelectorPath && readPath(object, scale!.labelSelectorPath);
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: readPath(object, scale!.specReplicasPath) ?? 0 },
    status: {
      replicas: readPath(object, scale!.statusReplicasPath) ?? 0,
      ...(selector === undefined ? {} : { selector: selectorText(selector) }),
    },
  };
}

function updateScale(
  core: ApiCore,
  type: ResourceType,
  version: TypeVersion,
  namespace: string | undefined,
  name: string,
  body: KubeObject,
  context: WriteContext,
): KubeObject {
  const old = core.find(type, namespace, name);
  if (!old) throw notFound(type, name);
  if (!version.scale) throw unknownPath();
  const replicas = body?.spec?.replicas ?? 0;
  if (!Number.isInteger(replicas) || replicas < 0) {
    throw new ApiError(
      422,
      "Invalid",
      `Scale.autoscaling "${name}" is invalid: spec.replicas: Invalid value: ${
        JSON.stringify(replicas)
      }: must be greater than or equal to 0`,
    );
  }
  const wanted = body.metadata?.resourceVersion;
  if (wanted && wanted !== old.metadata.resourceVersion) throw conflict(type, name, MODIFIED);
  const next = structuredClone(old) as KubeObject;
  const parts = pathParts(version.scale.specReplicasPath);
  let parent: any = next;
  for (const part of parts.slice(0, -1)) parent = parent[part] ??= {};
  parent[parts[parts.length - 1]] = replicas;
  delete next.metadata.resourceVersion;
  return scaleOf(core.replace(type, version, old, next, context), version);
}

export function patchScale(
  core: ApiCore,
  type: ResourceType,
  version: TypeVersion,
  namespace: string | undefined,
  name: string,
  patchType: PatchType,
  patch: unknown,
  context: WriteContext,
): KubeObject {
  const current = readScale(core, type, version, namespace, name);
  const next = applyPatch(patchType === "strategic" ? "merge" : patchType, version, current, patch) as KubeObject;
  return updateScale(core, type, version, namespace, name, next, context);
}
