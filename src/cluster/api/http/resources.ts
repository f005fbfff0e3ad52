import type { ServerResponse } from "node:http";
import { ApiError } from "../../api_error.ts";
import type { DeleteOptions, KubeObject, PatchType } from "../../contracts.ts";
import { loadCel } from "../crd/cel.ts";
import { admissionOf, callWebhooks } from "../webhooks/call.ts";
import { admitted } from "./admission.ts";
import type { FieldValidation, WriteContext } from "../context.ts";
import { methodNotAllowed, unknownPath, unsupportedMediaType } from "../errors.ts";
import { inVersion, patchObject } from "../patching.ts";
import { readScale, writeSubresource } from "../subresources.ts";
import { groupVersion, type ResourceType, type TypeVersion } from "../types.ts";
import { contentType, parseBody, readBody } from "./body.ts";
import type { Call } from "./gateway.ts";
import { listOf, selectObjects } from "./lists.ts";
import { servePodStream } from "./pod_requests.ts";
import { METRICS_GROUP, serveMetrics } from "./metrics.ts";
import { negotiate } from "./negotiation.ts";
import type { ResourceRequest } from "./request_info.ts";
import { sendObject } from "./responses.ts";
import { createReview, createToken } from "./reviews.ts";
import { shapeObject } from "./shapes.ts";
import { serveWatch } from "./watches.ts";

const PATCH_TYPES: Record<string, PatchType> = {
  "application/json-patch+json": "json",
  "application/merge-patch+json": "merge",
  "application/strategic-merge-patch+json": "strategic",
  "application/apply-patch+yaml": "apply",
  "application/apply-patch+json": "apply",
};

/** Answers a request of a resource. */
export async function serveResource(call: Call, response: ServerResponse): Promise<void> {
  const { gateway: { core }, info } = call;
  const request = info.resource!;
  if (request.group === METRICS_GROUP) return serveMetrics(call, response);
  const type = core.registry.get(request.group, request.resource);
  const version = type?.versions.find((candidate) => candidate.name === request.version && candidate.served);
  if (!type || !version) throw unknownPath();
  if (
    type.namespaced
      ? !request.namespace && (request.name || request.verb === "create") && !type.virtual
      : request.namespace
  ) throw unknownPath();
  if (
    type.namespaced && request.verb === "create" && !request.namespace &&
    type.key !== "authorization.k8s.io/localsubjectaccessreviews"
  ) throw unknownPath();
  const warnings = version.deprecationWarning ? [version.deprecationWarning] : [];

  if (type.virtual) return serveVirtual(call, response, type, version, warnings);
  if (request.subresource) return serveSubresource(call, response, type, version, warnings);
  switch (request.verb) {
    case "get": {
      const format = negotiate(call.request.headers.accept);
      const object = inVersion(type, version, core.get(type, request.namespace, request.name!));
      return sendObject(response, 200, shapeObject(call, type, version, object, format), format, warnings);
    }
    case "list": {
      const format = negotiate(call.request.headers.accept);
      return sendObject(response, 200, listOf(call, type, version, format), format, warnings);
    }
    case "watch":
      return serveWatch(call, response, type, version, warnings);
    case "create":
      return write(call, response, 201, type, version, warnings, async (context) => {
        const body = await bodyOf(call, context);
        const create = (object: unknown, from = context) => core.create(type, version, request.namespace, object, from);
        return admitted(call, type, version, "CREATE", undefined, context, (from) => create(body, from), create);
      });
    case "update":
      return write(call, response, 200, type, version, warnings, async (context) => {
        const body = await bodyOf(call, context);
        const old = core.get(type, request.namespace, request.name!);
        const update = (object: unknown, from = context) =>
          core.update(type, version, request.namespace, request.name!, object, from);
        return admitted(call, type, version, "UPDATE", old, context, (from) => update(body, from), update);
      });
    case "patch":
      return write(call, response, 200, type, version, warnings, (context) => patch(call, type, version, context));
    case "delete":
    case "deletecollection":
      return remove(call, response, type, version, warnings);
  }
  throw methodNotAllowed();
}

/** Runs a write and sends its result once it is on disk. */
async function write(
  call: Call,
  response: ServerResponse,
  code: number,
  type: ResourceType,
  version: TypeVersion,
  warnings: string[],
  action: (context: WriteContext) => KubeObject | Promise<KubeObject>,
): Promise<void> {
  const format = negotiate(call.request.headers.accept);
  const context = writeContext(call, warnings);
  if (type.crd || type.group === "apiextensions.k8s.io") await loadCel();
  const object = await action(context);
  await call.gateway.core.store.committed();
  const created = (context as { created?: boolean }).created;
  const shown = object.kind === type.kind
    ? shapeObject(call, type, version, inVersion(type, version, object), format)
    : object;
  await sendObject(response, created ? 201 : code, shown, format, context.warnings);
}

/** Write options from the query. @throws {ApiError} 422 for values that are not known */
function writeContext({ info: { query }, user, request }: Call, warnings: string[]): WriteContext {
  const dryRun = query.getAll("dryRun").filter((value) => value !== "");
  if (dryRun.some((value) => value !== "All")) {
    throw new ApiError(
      422,
      "Invalid",
      `dryRun: Unsupported value: ${JSON.stringify(dryRun[0])}: supported values: "All"`,
    );
  }
  const fieldValidation = query.get("fieldValidation") || "Warn";
  if (!["Strict", "Warn", "Ignore"].includes(fieldValidation)) {
    throw new ApiError(
      422,
      "Invalid",
      `fieldValidation: Unsupported value: ${
        JSON.stringify(fieldValidation)
      }: supported values: "Ignore", "Strict", "Warn"`,
    );
  }
  const agent = String(request.headers["user-agent"] ?? "").split("/")[0];
  return {
    user,
    fieldManager: (query.get("fieldManager") || agent || "unknown").slice(0, 128),
    fieldValidation: fieldValidation as FieldValidation,
    dryRun: dryRun.length > 0,
    force: query.get("force") === "true",
    warnings,
  };
}

async function bodyOf(call: Call, context: WriteContext): Promise<KubeObject> {
  const bytes = await readBody(call.request);
  const strict = call.info.query.has("fieldValidation") && context.fieldValidation !== "Ignore";
  const { value, duplicates } = await parseBody(bytes, contentType(call.request), strict);
  context.duplicateFields = duplicates;
  return value as KubeObject;
}

async function patch(call: Call, type: ResourceType, version: TypeVersion, context: WriteContext): Promise<KubeObject> {
  const { name, namespace, subresource } = call.info.resource!;
  const media = contentType(call.request);
  const patchType = PATCH_TYPES[media];
  if (!patchType) throw unsupportedMediaType(Object.keys(PATCH_TYPES));
  const bytes = await readBody(call.request);
  const { value, duplicates } = await parseBody(bytes, media, call.info.query.has("fieldValidation"));
  context.duplicateFields = duplicates;
  if (patchType === "apply" && !call.info.query.get("fieldManager")) {
    throw ApiError.badRequest(
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    );
  }
  const { core } = call.gateway;
  const perform = (from: WriteContext) =>
    patchObject(core, type, version, namespace, name!, patchType, value, from, subresource);
  if (subresource) return perform(context);
  const old = core.find(type, namespace, name!);
  return admitted(
    call,
    type,
    version,
    old ? "UPDATE" : "CREATE",
    old,
    context,
    perform,
    (object) =>
      old
        ? core.update(type, version, namespace, name!, object, context)
        : core.create(type, version, namespace, object, context),
  );
}

async function remove(
  call: Call,
  response: ServerResponse,
  type: ResourceType,
  version: TypeVersion,
  warnings: string[],
): Promise<void> {
  const { gateway: { core }, info } = call;
  const { name, namespace } = info.resource!;
  const format = negotiate(call.request.headers.accept);
  const options = await deleteOptions(call);
  if (name) {
    const found = core.get(type, namespace, name);
    const admission = admissionOf(call.gateway, {
      type,
      version,
      operation: "DELETE",
      namespace,
      name,
      object: undefined,
      old: inVersion(type, version, found),
    });
    await callWebhooks(call.gateway, admission, { ...writeContext(call, warnings), dryRun: options.dryRun === true });
    const { object, gone } = core.delete(type, namespace, name, options);
    await core.store.committed();
    const whole = !gone || RETURNS_DELETED.has(type.key);
    const answer = whole ? shapeObject(call, type, version, inVersion(type, version, object), format) : {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Success",
      details: {
        name,
        ...(type.group === "" ? {} : { group: type.group }),
        kind: type.plural,
        uid: object.metadata.uid,
      },
    };
    return sendObject(response, 200, answer, format, warnings);
  }
  const victims = selectObjects(call, type);
  for (const { metadata } of victims) {
    // One that went meanwhile with its owner is no failure.
    if (core.find(type, metadata.namespace, metadata.name)) {
      core.delete(type, metadata.namespace, metadata.name, options);
    }
  }
  await core.store.committed();
  const apiVersion = groupVersion(type.group, version.name);
  await sendObject(
    response,
    200,
    {
      kind: type.listKind,
      apiVersion,
      metadata: { resourceVersion: String(core.store.revision) },
      items: victims.map((object) => inVersion(type, version, object)),
    },
    { encoding: format.encoding },
    warnings,
  );
}

/** Types whose deletion answers with the object, also when it is gone. */
const RETURNS_DELETED = new Set([
  "/pods",
  "/services",
  "/serviceaccounts",
  "/persistentvolumes",
  "/persistentvolumeclaims",
  "/resourcequotas",
  "/podtemplates",
]);

/** Options from the body and the query. */
async function deleteOptions(call: Call): Promise<DeleteOptions & { dryRun?: boolean }> {
  const bytes = await readBody(call.request);
  let body: any = {};
  if (bytes.length > 0) body = (await parseBody(bytes, contentType(call.request), false)).value ?? {};
  if (typeof body !== "object" || Array.isArray(body)) {
    throw ApiError.badRequest("the body of a deletion is DeleteOptions");
  }
  const { query } = call.info;
  const grace = body.gracePeriodSeconds ??
    (query.has("gracePeriodSeconds") ? Number(query.get("gracePeriodSeconds")) : undefined);
  if (grace !== undefined && !Number.isInteger(grace)) {
    throw ApiError.badRequest("gracePeriodSeconds must be an integer");
  }
  let policy = body.propagationPolicy ?? query.get("propagationPolicy") ?? undefined;
  const orphan = body.orphanDependents ??
    (query.has("orphanDependents") ? query.get("orphanDependents") === "true" : undefined);
  if (policy === undefined && orphan !== undefined) policy = orphan ? "Orphan" : "Background";
  if (policy !== undefined && !["Foreground", "Background", "Orphan"].includes(policy)) {
    throw new ApiError(
      422,
      "Invalid",
      `propagationPolicy: Unsupported value: ${
        JSON.stringify(policy)
      }: supported values: "Foreground", "Background", "Orphan", "nil"`,
    );
  }
  const dryRun = [...(body.dryRun ?? []), ...query.getAll("dryRun")].includes("All");
  return { gracePeriodSeconds: grace, propagationPolicy: policy, preconditions: body.preconditions, dryRun };
}

async function serveVirtual(
  call: Call,
  response: ServerResponse,
  type: ResourceType,
  version: TypeVersion,
  warnings: string[],
): Promise<void> {
  if (call.info.resource!.verb !== "create") throw methodNotAllowed();
  const format = negotiate(call.request.headers.accept);
  const context = writeContext(call, warnings);
  const body = await bodyOf(call, context);
  if (type.key === "/bindings") {
    const pods = call.gateway.core.registry.get("", "pods")!;
    return sendObject(
      response,
      201,
      writeSubresource(
        call.gateway.core,
        pods,
        "binding",
        "create",
        call.info.resource!.namespace,
        body?.metadata?.name,
        body,
        context,
      ),
      format,
    );
  }
  await sendObject(response, 201, createReview(call, type, version, body, context), format, context.warnings);
}

async function serveSubresource(
  call: Call,
  response: ServerResponse,
  type: ResourceType,
  version: TypeVersion,
  warnings: string[],
): Promise<void> {
  const { core } = call.gateway;
  const { name, namespace, subresource, verb } = call.info.resource as ResourceRequest & {
    name: string;
    subresource: string;
  };
  if (type.key === "/pods" && subresource === "log" && verb === "get") return servePodStream(call, response);
  if (type.key === "/pods" && ["exec", "attach", "portforward"].includes(subresource)) {
    throw ApiError.badRequest(
      "you must specify at least 1 of the protocols v5.channel.k8s.io, v4.channel.k8s.io in an upgrade to a WebSocket",
    );
  }
  const verbs = subresource === "status" && version.hasStatus || subresource === "scale" && version.scale
    ? ["get", "patch", "update"]
    : Object.hasOwn(type.subresources, subresource)
    ? type.subresources[subresource].verbs
    : undefined;
  if (!verbs) throw unknownPath();
  if (!verbs.includes(verb)) throw methodNotAllowed();
  if (verb === "get") {
    const format = negotiate(call.request.headers.accept);
    const object = subresource === "scale"
      ? readScale(core, type, version, namespace, name)
      : shapeObject(call, type, version, inVersion(type, version, core.get(type, namespace, name)), format);
    return sendObject(response, 200, object, format, warnings);
  }
  if (verb === "patch") {
    return write(call, response, 200, type, version, warnings, (context) => patch(call, type, version, context));
  }
  if (verb !== "create" && verb !== "update") throw methodNotAllowed();
  return write(call, response, verb === "create" ? 201 : 200, type, version, warnings, async (context) => {
    const body = await bodyOf(call, context);
    if (subresource === "token" && type.key === "/serviceaccounts") return createToken(call, body);
    if (subresource === "status") {
      return core.update(type, version, namespace, name, body, context, "status");
    }
    return writeSubresource(core, type, subresource, verb, namespace, name, body, context, version);
  });
}
