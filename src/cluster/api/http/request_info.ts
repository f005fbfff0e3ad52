import { ApiError } from "../../api_error.ts";

/** What a request is about, from its method and URL. */
export interface RequestInfo {
  method: string;
  path: string;
  query: URLSearchParams;
  /** Set for requests of resources. */
  resource?: ResourceRequest;
}

export interface ResourceRequest {
  verb: string;
  group: string;
  version: string;
  namespace?: string;
  resource: string;
  name?: string;
  subresource?: string;
  /** What follows the subresource (proxy). */
  rest?: string;
}

const URL_LIMIT = 64 * 1024;
const VERBS: Record<string, string> = { POST: "create", PUT: "update", PATCH: "patch" };

/** @throws {ApiError} 400 for a URL that is none, or one that tries to climb out of its path */
export function parseRequest(method: string, url: string): RequestInfo {
  if (url.length > URL_LIMIT) throw new ApiError(414, "RequestURITooLong", "the request's URL is too long");
  let parsed: URL;
  try {
    parsed = new URL(url, "https://kubernetes");
  } catch {
    throw ApiError.badRequest("the request's URL cannot be parsed");
  }
  const mark = url.indexOf("?");
  const rawPath = mark < 0 ? url : url.slice(0, mark);
  let segments: string[];
  try {
    segments = rawPath.split("/").filter((part) => part !== "").map(decodeURIComponent);
  } catch {
    throw ApiError.badRequest("the request's URL has a malformed escape");
  }
  for (const segment of segments) {
    // deno-lint-ignore no-control-regex
    if (segment === "." || segment === ".." || /[/\\\x00-\x1f]/.test(segment)) {
      throw ApiError.badRequest(`invalid path segment ${JSON.stringify(segment)}`);
    }
  }
  const path = "/" + segments.join("/");
  const info: RequestInfo = { method, path, query: parsed.searchParams };
  const resource = resourceOf(segments, method, parsed.searchParams);
  if (resource) info.resource = resource;
  return info;
}

function resourceOf(segments: string[], method: string, query: URLSearchParams): ResourceRequest | undefined {
  let group: string, version: string, rest: string[];
  if (segments[0] === "api" && segments.length > 2) [group, version, rest] = ["", segments[1], segments.slice(2)];
  else if (segments[0] === "apis" && segments.length > 3) {
    [group, version, rest] = [segments[1], segments[2], segments.slice(3)];
  } else return undefined;
  let watching = isTrue(query.get("watch"));
  // The old form of a watch: /api/v1/watch/namespaces/x/pods.
  if (rest[0] === "watch" && rest.length > 1) {
    watching = true;
    rest = rest.slice(1);
  }
  let namespace: string | undefined;
  if (rest[0] === "namespaces" && rest.length > 2 && !["status", "finalize"].includes(rest[2])) {
    namespace = rest[1];
    rest = rest.slice(2);
  }
  const [resource, name, subresource, ...more] = rest;
  if (more.length > 0 && subresource !== "proxy") return undefined;
  let verb = VERBS[method];
  if (method === "GET" || method === "HEAD") {
    verb = watching && (!name || rest.length <= 2) ? "watch" : name ? "get" : "list";
  }
  if (method === "DELETE") verb = name ? "delete" : "deletecollection";
  if (verb === "watch" && name && subresource) verb = "get";
  if (verb === undefined) {
    throw new ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
  }
  return { verb, group, version, namespace, resource, name, subresource, rest: more.join("/") };
}

export function isTrue(value: string | null): boolean {
  return value !== null && ["true", "1", "t", "T", "TRUE", "True"].includes(value);
}

/** The name that a list or watch is narrowed to by `metadata.name=…`, for rules with resourceNames. */
export function nameFromSelector(query: URLSearchParams): string | undefined {
  return /(?:^|,)metadata\.name==?([^,]+)/.exec(query.get("fieldSelector") ?? "")?.[1];
}
