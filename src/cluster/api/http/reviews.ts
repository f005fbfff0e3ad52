import { ApiError } from "../../api_error.ts";
import type { KubeObject } from "../../contracts.ts";
import type { AccessRequest } from "../auth/rbac.ts";
import { API_AUDIENCES, TokenRejected } from "../auth/tokens.ts";
import type { UserInfo, WriteContext } from "../context.ts";
import { unknownPath } from "../errors.ts";
import { decodeObject } from "../object_decoding.ts";
import { builtinSchema } from "../schema/builtin.ts";
import { decodeBuiltin } from "../schema/decode.ts";
import type { ResourceType, TypeVersion } from "../types.ts";
import type { Call } from "./gateway.ts";

/** A user as reviews show it. */
function showUser(user: UserInfo): Record<string, unknown> {
  return {
    username: user.name,
    ...(user.uid ? { uid: user.uid } : {}),
    groups: user.groups,
    ...(user.extra ? { extra: user.extra } : {}),
  };
}

/** Answers a review: the request with its status. */
export function createReview(
  call: Call,
  type: ResourceType,
  version: TypeVersion,
  body: unknown,
  context: WriteContext,
): KubeObject {
  const review = decodeObject(type, version, body, context);
  review.metadata = { ...review.metadata, name: review.metadata?.name ?? "" };
  if (review.metadata.name === "") delete (review.metadata as any).name;
  switch (type.plural) {
    case "tokenreviews":
      review.status = reviewToken(call, review.spec ?? {});
      return review;
    case "selfsubjectreviews":
      review.status = { userInfo: showUser(call.user) };
      return review;
    case "subjectaccessreviews":
    case "localsubjectaccessreviews": {
      const spec = review.spec ?? {};
      if (!spec.user && !spec.groups?.length) {
        throw new ApiError(
          422,
          "Invalid",
          `${type.kind}.authorization.k8s.io "" is invalid: spec.user: Invalid value: "": at least one of user or group must be specified`,
        );
      }
      review.status = decide(call, { name: spec.user ?? "", groups: spec.groups ?? [], uid: spec.uid }, spec);
      return review;
    }
    case "selfsubjectaccessreviews":
      review.status = decide(call, call.user, review.spec ?? {});
      return review;
    case "selfsubjectrulesreviews": {
      const rules = call.gateway.authorizer.rules(call.user, review.spec?.namespace ?? "");
      review.status = {
        incomplete: false,
        resourceRules: rules.filter((rule) => rule.resources).map(({ verbs, apiGroups, resources, resourceNames }) => ({
          verbs,
          apiGroups,
          resources,
          resourceNames,
        })),
        nonResourceRules: rules.filter((rule) => rule.nonResourceURLs).map(({ verbs, nonResourceURLs }) => ({
          verbs,
          nonResourceURLs,
        })),
      };
      return review;
    }
  }
  throw unknownPath();
}

function decide(call: Call, user: UserInfo, spec: any): Record<string, unknown> {
  const { resourceAttributes, nonResourceAttributes } = spec;
  if ((resourceAttributes === undefined) === (nonResourceAttributes === undefined)) {
    throw new ApiError(
      422,
      "Invalid",
      "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
    );
  }
  const access: AccessRequest = resourceAttributes
    ? { user, ...resourceAttributes, verb: resourceAttributes.verb ?? "" }
    : { user, verb: nonResourceAttributes.verb ?? "", path: nonResourceAttributes.path ?? "" };
  const { allowed, reason } = call.gateway.authorizer.authorize(access);
  return { allowed, ...(reason === "" ? {} : { reason }) };
}

function reviewToken(call: Call, spec: any): Record<string, unknown> {
  if (!spec.token) throw ApiError.badRequest("token is required for TokenReview in authentication");
  const audiences: string[] | undefined = spec.audiences?.length ? spec.audiences : undefined;
  try {
    const verified = call.gateway.tokens.verify(spec.token, audiences ?? API_AUDIENCES);
    return { authenticated: true, user: showUser(verified.user), audiences: verified.audiences };
  } catch (error) {
    if (!(error instanceof TokenRejected)) throw error;
    return { user: {}, error: `[invalid bearer token, ${error.message}]` };
  }
}

const DEFAULT_LIFETIME_S = 3600;

/** The `token` subresource of a service account. */
export function createToken(call: Call, body: unknown): KubeObject {
  const { namespace, name } = call.info.resource!;
  const raw = body as KubeObject;
  if (raw?.kind && raw.kind !== "TokenRequest") {
    throw ApiError.badRequest(`the body is a ${raw.kind}, not a TokenRequest`);
  }
  const request = decodeBuiltin(builtinSchema("authentication.TokenRequest"), body ?? {}, "TokenRequest", "v1", {
    unknown: [],
  });
  const spec = request.spec ?? {};
  const seconds = spec.expirationSeconds ?? DEFAULT_LIFETIME_S;
  if (seconds < 600 || seconds > 2 ** 32) {
    throw new ApiError(
      422,
      "Invalid",
      `TokenRequest.authentication.k8s.io "${name}" is invalid: spec.expirationSeconds: Invalid value: ${seconds}: may not specify a duration ${
        seconds < 600 ? "less than 10 minutes" : "larger than 2^32 seconds"
      }`,
    );
  }
  const bound = spec.boundObjectRef;
  if (bound && bound.kind !== "Pod" && bound.kind !== "Node") {
    throw new ApiError(
      422,
      "Invalid",
      `TokenRequest.authentication.k8s.io "${name}" is invalid: spec.boundObjectRef.kind: Invalid value: ${
        JSON.stringify(bound.kind)
      }: cannot bind token to object of this kind`,
    );
  }
  const issued = call.gateway.tokens.issueNow({
    namespace: namespace!,
    serviceAccount: name!,
    audiences: spec.audiences ?? [],
    expirationSeconds: seconds,
    ...(bound?.kind === "Pod"
      ? { pod: { name: bound.name, uid: bound.uid ?? uidOf(call, "/pods", namespace!, bound.name) } }
      : {}),
    ...(bound?.kind === "Node"
      ? { node: { name: bound.name, uid: bound.uid ?? uidOf(call, "/nodes", "", bound.name) } }
      : {}),
  });
  const audiences = spec.audiences?.length ? spec.audiences : API_AUDIENCES;
  return {
    kind: "TokenRequest",
    apiVersion: "authentication.k8s.io/v1",
    metadata: { name: name!, namespace: namespace! },
    spec: { ...spec, audiences, expirationSeconds: seconds },
    status: issued,
  };
}

function uidOf(call: Call, key: string, namespace: string, name: string): string {
  return call.gateway.core.store.get(key, namespace, name)?.metadata.uid ?? "";
}
