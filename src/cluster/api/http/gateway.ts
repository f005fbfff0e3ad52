import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "../../../telemetry/logger.ts";
import { ApiError } from "../../api_error.ts";
import type { PodBackend } from "../../contracts.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import { type AccessRequest, describeRefusal, type RbacAuthorizer } from "../auth/rbac.ts";
import type { ServiceAccountTokens } from "../auth/tokens.ts";
import type { UserInfo } from "../context.ts";
import type { ApiCore } from "../core.ts";
import { internal } from "../errors.ts";
import { impersonate } from "./impersonation.ts";
import { serveNonResource } from "./non_resource.ts";
import { nameFromSelector, parseRequest, type RequestInfo } from "./request_info.ts";
import { serveResource } from "./resources.ts";
import { sendError } from "./responses.ts";

/** What request handlers share. */
export interface Gateway {
  readonly core: ApiCore;
  readonly authenticator: Authenticator;
  readonly authorizer: RbacAuthorizer;
  readonly tokens: ServiceAccountTokens;
  readonly caPem: string;
  readonly log: Logger;
  /** Undefined until pods can run. */
  backend(): PodBackend | undefined;
  /** Aborted when the server closes: ends watches and streams. */
  readonly closing: AbortSignal;
}

/** One request, past authentication. */
export interface Call {
  readonly gateway: Gateway;
  readonly info: RequestInfo;
  readonly user: UserInfo;
  readonly request: IncomingMessage;
}

/** Answers one request, whatever happens. */
export async function handleRequest(
  gateway: Gateway,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const call = admitRequest(gateway, request);
    if (call.info.resource) await serveResource(call, response);
    else await serveNonResource(call, response);
  } catch (error) {
    sendError(response, asApiError(gateway, error), request);
  }
}

/** Parses, authenticates and authorizes. @throws {ApiError} */
export function admitRequest(gateway: Gateway, request: IncomingMessage): Call {
  const info = parseRequest(request.method ?? "GET", request.url ?? "/");
  let user = gateway.authenticator.authenticate(request);
  user = impersonate(gateway, request, user);
  const access: AccessRequest = info.resource
    ? {
      user,
      verb: info.resource.verb,
      group: info.resource.group,
      resource: info.resource.resource,
      subresource: info.resource.subresource,
      // A namespace itself is looked at in its own namespace.
      namespace: info.resource.namespace ??
        (info.resource.resource === "namespaces" && info.resource.group === "" ? info.resource.name : undefined),
      name: info.resource.name ?? nameFromSelector(info.query),
    }
    : { user, verb: info.method === "HEAD" ? "get" : info.method.toLowerCase(), path: info.path };
  requireAccess(gateway, access);
  return { gateway, info, user, request };
}

/** @throws {ApiError} 403 */
export function requireAccess(gateway: Gateway, access: AccessRequest): void {
  if (gateway.authorizer.authorize(access).allowed) return;
  const { group, resource, name } = access;
  throw ApiError.forbidden(describeRefusal(access), access.path !== undefined ? {} : { name, group, kind: resource });
}

/** Errors of ours as they are; anything else is logged and becomes a 500 without details. */
export function asApiError(gateway: Gateway, error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof RangeError && /call stack/i.test(error.message)) {
    return ApiError.badRequest("the body of the request is nested too deeply");
  }
  gateway.log.error("a request failed", { error: error instanceof Error ? error.stack : String(error) });
  return internal(error instanceof Error ? error.message : String(error));
}
