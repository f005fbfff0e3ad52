// HTTPRoute and GRPCRoute, read once for each version of an object.

import type { KubeObject } from "../../../kube/types.ts";
import {
  DEFAULT_RETRY,
  type HeaderMatch,
  type PathMatch,
  type RetryPolicy,
  type TextMatch,
} from "../../../model/l7.ts";
import { readHostname } from "../hostname.ts";
import { Fields, Notes } from "../notes.ts";
import { isRegex } from "../regex.ts";
import { MATCH_ALL, type ParsedBackend, type ParsedMatch, type ParsedRule } from "../rule.ts";
import type { ParentReference } from "../status.ts";
import { BACKEND_FILTERS, GRPC_RULE_FILTERS, isHeaderName, readFilters, RULE_FILTERS } from "./filters.ts";
import { GATEWAY_GROUP, referenceOf } from "./references.ts";

export type RouteKind = "HTTPRoute" | "GRPCRoute" | L4RouteKind;

/** Routes below HTTP, which nobody serves yet: their status says so. */
export type L4RouteKind = "TCPRoute" | "TLSRoute" | "UDPRoute";

export function isL4(kind: RouteKind): kind is L4RouteKind {
  return kind !== "HTTPRoute" && kind !== "GRPCRoute";
}

export interface ParsedParent {
  /** As written, for the status. */
  readonly ref: ParentReference;
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly sectionName: string;
  readonly port: number | undefined;
  /** What of it cannot be used, so that it is not attached. */
  readonly broken: string;
}

export interface ParsedRoute {
  readonly kind: RouteKind;
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  /** Orders routes whose matches say the same: the oldest, then the first in the alphabet. */
  readonly age: string;
  /** `*` when it names none; empty when none of those it names can be used. */
  readonly hostnames: readonly string[];
  readonly parents: readonly ParsedParent[];
  readonly rules: readonly ParsedRule[];
  readonly notes: Notes;
}

const read = new WeakMap<KubeObject, ParsedRoute>();

export function readRoute(kind: RouteKind, object: KubeObject): ParsedRoute {
  let route = read.get(object);
  if (!route) read.set(object, route = parse(kind, object));
  return route;
}

function parse(kind: RouteKind, { metadata, spec }: KubeObject): ParsedRoute {
  const { name, namespace = "default", creationTimestamp = "", generation = 0 } = metadata, notes = new Notes();
  const fields = new Fields(spec, "", notes, ["parentRefs", "hostnames", "rules", "useDefaultGateways"]);
  const hostnames: string[] = [];
  for (const value of fields.list("hostnames")) {
    const hostname = readHostname(value);
    if (hostname !== undefined && hostname !== "*") hostnames.push(hostname);
    else notes.add(`cannot use hostname ${JSON.stringify(value)?.slice(0, 80)}`);
  }
  const base = `${namespace}.${name}`;
  const rules = isL4(kind)
    ? []
    : fields.list("rules").map((rule, i) => parseRule(kind, rule, `rules[${i}]`, `${base}.${i}`, namespace, notes));
  if (fields.has("useDefaultGateways")) notes.add("useDefaultGateways is not supported");
  return {
    kind,
    namespace,
    name,
    generation,
    age: `${creationTimestamp} ${namespace}/${name}`,
    hostnames: fields.list("hostnames").length === 0 && !fields.bad ? ["*"] : hostnames,
    parents: fields.list("parentRefs").flatMap((parent, i) => readParent(parent, `parentRefs[${i}]`, namespace)),
    rules,
    notes,
  };
}

function readParent(value: unknown, place: string, namespace: string): ParsedParent[] {
  const notes = new Notes();
  const fields = new Fields(value ?? 0, place, notes, ["group", "kind", "namespace", "name", "sectionName", "port"]);
  const name = fields.text("name"), port = fields.count("port", 1, 65535);
  const group = fields.text("group", GATEWAY_GROUP), kind = fields.text("kind", "Gateway");
  const own = fields.text("namespace") || namespace, sectionName = fields.text("sectionName");
  if (name === "") return [];
  return [{
    ref: Object.fromEntries(
      ["group", "kind", "namespace", "name", "sectionName", "port"].filter((field) => fields.has(field)).map((
        field,
      ) => [field, fields.raw(field)]),
    ) as unknown as ParentReference,
    group,
    kind,
    namespace: own,
    name,
    sectionName,
    port,
    broken: fields.bad ? `${notes}` : "",
  }];
}

const RULE_FIELDS = ["name", "matches", "filters", "backendRefs", "timeouts", "retry"];

function parseRule(
  kind: RouteKind,
  value: unknown,
  place: string,
  fallbackName: string,
  namespace: string,
  notes: Notes,
): ParsedRule {
  const grpc = kind === "GRPCRoute";
  const known = grpc ? ["name", "matches", "filters", "backendRefs"] : RULE_FIELDS;
  const rule = new Fields(value ?? 0, place, notes, [...known, "sessionPersistence"]);
  // Requests are served without it, so the rule stands.
  if (rule.has("sessionPersistence")) notes.add(`${rule.at("sessionPersistence")} is not supported`);
  const matches = rule.list("matches").map((match, i) => {
    const at = rule.at(`matches[${i}]`);
    return grpc ? grpcMatch(match, at, notes) : httpMatch(match, at, notes);
  });
  const filters = readFilters(rule, grpc ? GRPC_RULE_FILTERS : RULE_FILTERS, namespace);
  const prefixOnly = [filters.redirect?.path, filters.rewrite?.path].some((path) => path?.kind === "prefix");
  if (prefixOnly && matches.some(({ parsed }) => parsed.match.path?.kind !== "prefix")) {
    rule.bad = true;
    notes.add(`${rule.at("filters")}: ReplacePrefixMatch needs matches of type PathPrefix`);
  }
  if (filters.redirect && rule.list("backendRefs").length > 0) {
    rule.without("backendRefs", "RequestRedirect answers the requests");
  }
  const timeouts = grpc ? undefined : rule.object("timeouts", ["request", "backendRequest"]);
  const timeoutMs = timeouts?.duration("request"), perTryMs = timeouts?.duration("backendRequest");
  const retry = grpc ? undefined : readRetry(rule, perTryMs);
  if (timeouts) rule.take(timeouts);
  // A match that cannot be read matches nothing: what it would have taken is not known.
  const usable = matches.filter(({ good }) => good).map(({ parsed }) => parsed);
  return {
    name: rule.text("name")
      ? `${fallbackName.slice(0, fallbackName.lastIndexOf("."))}.${rule.text("name")}`
      : fallbackName,
    matches: matches.length > 0 ? usable : [grpc ? MATCH_ALL : ANY_PATH],
    backends: rule.list("backendRefs").map((backend, i) =>
      readBackend(backend, rule.at(`backendRefs[${i}]`), namespace, notes)
    ),
    redirect: filters.redirect,
    rewrite: filters.rewrite,
    mirrors: filters.mirrors,
    requestHeaders: filters.requestHeaders,
    responseHeaders: filters.responseHeaders,
    cors: filters.cors,
    timeoutMs: timeoutMs || undefined,
    retry,
    broken: rule.bad,
  };
}

const ANY_PATH: ParsedMatch = Object.freeze({
  match: { path: { kind: "prefix" as const, value: "/", segments: true }, headers: [], query: [] },
  rank: [0, 1, 0, 0, 0],
});

/** What is retried when a route asks for retries: what Gateway API calls connection errors, and its codes. */
function readRetry(rule: Fields, perTryMs: number | undefined): RetryPolicy | undefined {
  if (!rule.has("retry")) return perTryMs ? { ...DEFAULT_RETRY, perTryTimeoutMs: perTryMs } : undefined;
  const retry = rule.object("retry", ["codes", "attempts", "backoff"]);
  const codes = retry.list("codes").filter((code): code is number => {
    if (typeof code === "number" && Number.isInteger(code) && code >= 400 && code <= 599) return true;
    retry.wrong("codes", code);
    return false;
  });
  const policy = {
    ...DEFAULT_RETRY,
    on: [...DEFAULT_RETRY.on, "reset"],
    retries: retry.count("attempts", 0, 1000) ?? 1,
    statusCodes: codes,
    backoffMs: retry.duration("backoff") ?? DEFAULT_RETRY.backoffMs,
    perTryTimeoutMs: perTryMs ?? 0,
  };
  rule.take(retry);
  return policy;
}

function readBackend(value: unknown, place: string, namespace: string, notes: Notes): ParsedBackend {
  const fields = new Fields(value ?? 0, place, notes, [
    "group",
    "kind",
    "namespace",
    "name",
    "port",
    "weight",
    "filters",
  ]);
  const filters = readFilters(fields, BACKEND_FILTERS, namespace);
  return {
    ref: referenceOf(fields, namespace),
    weight: fields.count("weight", 0, 1_000_000) ?? 1,
    requestHeaders: filters.requestHeaders,
    responseHeaders: filters.responseHeaders,
    broken: fields.bad,
  };
}

interface ReadMatch {
  readonly parsed: ParsedMatch;
  readonly good: boolean;
}

const PATH_RANK = { exact: 3, prefix: 2, regex: 1 } as const;

function httpMatch(value: unknown, place: string, notes: Notes): ReadMatch {
  const match = new Fields(value ?? 0, place, notes, ["path", "headers", "queryParams", "method"]);
  const path = readPathMatch(match.object("path", ["type", "value"]), match);
  const headers = namedMatches(match, "headers", true), query = namedMatches(match, "queryParams", false);
  const method = match.text("method");
  if (match.has("method") && !isHeaderName(method)) match.wrong("method", method);
  return {
    good: !match.bad,
    parsed: {
      match: { path, method: method ? { kind: "exact", value: method } : undefined, headers, query },
      // What takes every request comes last, after regular expressions, too (as Istio's gateways sort it).
      rank: [
        path.value === "/" && path.kind === "prefix" && !method && headers.length + query.length === 0
          ? 0
          : PATH_RANK[path.kind],
        path.value.length,
        method ? 1 : 0,
        headers.length,
        query.length,
      ],
    },
  };
}

function readPathMatch(fields: Fields, owner: Fields): PathMatch {
  const type = fields.text("type", "PathPrefix"), value = fields.text("value", "/");
  let result: PathMatch = { kind: "prefix", value: "/", segments: true };
  if (type === "RegularExpression") {
    if (!isRegex(value)) fields.wrong("value", value);
    result = { kind: "regex", value };
  } else if (!value.startsWith("/") || value.length > 1024) fields.wrong("value", value);
  else if (type === "Exact") result = { kind: "exact", value };
  else if (type === "PathPrefix") result = { kind: "prefix", value: value.replace(/(?<=.)\/+$/, ""), segments: true };
  else fields.unsupported(`type ${type}`);
  owner.take(fields);
  return result;
}

function textMatch(fields: Fields): TextMatch {
  const type = fields.text("type", "Exact"), value = fields.text("value", "", 65_536);
  if (type === "RegularExpression") {
    if (!isRegex(value)) fields.wrong("value", value);
    return { kind: "regex", value };
  }
  if (type !== "Exact") fields.unsupported(`type ${type}`);
  return { kind: "exact", value };
}

/** Headers or query parameters; of several with one name the first counts. */
function namedMatches(owner: Fields, field: string, headers: boolean): HeaderMatch[] {
  const found = new Map<string, HeaderMatch>();
  for (const one of owner.objects(field, ["type", "name", "value"])) {
    const written = one.text("name"), name = headers ? written.toLowerCase() : written;
    if (name === "" || (headers && !isHeaderName(name))) one.wrong("name", written);
    const value = textMatch(one);
    if (!found.has(name)) found.set(name, { name, value });
    owner.take(one);
  }
  return [...found.values()];
}

const GRPC_NAME = /^[A-Za-z0-9_.]+$/;

function grpcMatch(value: unknown, place: string, notes: Notes): ReadMatch {
  const match = new Fields(value ?? 0, place, notes, ["method", "headers"]);
  const method = match.object("method", ["type", "service", "method"]);
  const type = method.text("type", "Exact"), service = method.text("service"), name = method.text("method");
  let path: PathMatch | undefined;
  // A method of no service and no name is what releases before 1.0 write where no method is asked for.
  if (type === "RegularExpression" && service === "" && name === "") method.wrong("", {});
  else if (type === "RegularExpression") {
    const value = `/${service ? `(?:${service})` : "[^/]+"}/${name ? `(?:${name})` : "[^/]+"}`;
    if (!isRegex(value)) method.wrong("", { service, method: name });
    path = { kind: "regex", value };
  } else if (type !== "Exact") method.unsupported(`type ${type}`);
  else if ([service, name].some((text) => text !== "" && !GRPC_NAME.test(text))) {
    method.wrong("", { service, method: name });
  } else if (service && name) path = { kind: "exact", value: `/${service}/${name}` };
  else if (service) path = { kind: "prefix", value: `/${service}/`, segments: false };
  else if (name) path = { kind: "regex", value: `/[^/]+/${name}` };
  match.take(method);
  const headers = namedMatches(match, "headers", true);
  return {
    good: !match.bad,
    parsed: {
      match: { path, headers, query: [] },
      rank: [path ? PATH_RANK[path.kind] : 0, service.length + name.length, 0, headers.length, 0],
    },
  };
}
