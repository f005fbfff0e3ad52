// One rule of a VirtualService's `http`.

import {
  type CorsPolicy,
  DEFAULT_RETRY,
  type Fault,
  type HeaderChanges,
  type HeaderMatch,
  type PathMatch,
  type RedirectAction,
  type RetryPolicy,
  type Rewrite,
  type RouteMatch,
  type TextMatch,
} from "../../../model/l7.ts";
import { GRPC_RETRY_CONDITIONS, RETRY_CONDITIONS, SOURCE_LABELS } from "../../../model/l7_names.ts";
import { isHeaderName, isHeaderValue, noteOperators, noteUnchangeable } from "../gateway_api/filters.ts";
import { readHostname } from "../hostname.ts";
import { Fields, type Notes } from "../notes.ts";
import { isRegex, isSubstitution } from "../regex.ts";
import type { BackendReference, ParsedBackend, ParsedMatch, ParsedMirror, ParsedRule } from "../rule.ts";
import { readCors } from "./cors.ts";
import { readFault } from "./fault.ts";
import { gatewayName } from "./hosts.ts";
import { readPercentage } from "./percentage.ts";

export interface RuleOwner {
  /** Whose short host names are meant. */
  readonly namespace: string;
  readonly domain: string;
  /** What rules without a name are called after. */
  readonly name: string;
  /** Whom the rules are for, unless a match says otherwise: `mesh`, or `namespace/name` of Gateways. */
  readonly gateways: readonly string[];
}

const RULE_FIELDS = [
  "name",
  "match",
  "route",
  "redirect",
  "directResponse",
  "delegate",
  "rewrite",
  "timeout",
  "retries",
  "fault",
  "mirror",
  "mirrors",
  "mirrorPercentage",
  "mirrorPercent",
  "corsPolicy",
  "headers",
];

/** The rule; several where its matches are rewritten in different ways. */
export function readHttpRule(value: unknown, place: string, notes: Notes, owner: RuleOwner): ParsedRule[] {
  const rule = new Fields(value ?? 0, place, notes, RULE_FIELDS);
  const matches = rule.list("match").map((match, i) => readMatch(match, rule.at(`match[${i}]`), notes, owner));
  const usable = rule.list("match").length === 0 ? [MATCH_ANY] : matches.filter((match) => match !== undefined);
  const headers = readHeaders(rule, "headers"), rewrite = readRewrite(rule, headers.authority);
  const fault: Fault | undefined = readFault(rule), cors: CorsPolicy | undefined = readCors(rule);
  const redirect = readRedirect(rule), direct = readDirect(rule), backends = readRoutes(rule, owner);
  const mirrors = readMirrors(rule, owner), timeoutMs = rule.duration("timeout"), retry = readRetries(rule);
  if (!redirect && !direct && backends.length === 0) {
    rule.bad = true;
    notes.add(`${place} has no route, redirect or directResponse`);
  }
  const base = {
    name: rule.text("name").slice(0, 256) || owner.name,
    backends: redirect || direct ? [] : backends,
    redirect,
    direct,
    mirrors,
    requestHeaders: headers.request,
    responseHeaders: headers.response,
    cors,
    fault,
    timeoutMs: timeoutMs || undefined,
    retry,
  };
  if (!rewrite?.uri) return [{ ...base, matches: usable, rewrite: rewrite?.fixed, broken: rule.bad }];
  const { uri, fixed } = rewrite;
  return usable.map((one) => {
    // What the match took is replaced: a prefix, or the whole path; without a match of the path, its first slash.
    const path = one.match.path ?? { kind: "prefix" as const, value: "/", segments: false };
    const kind = path.kind === "prefix" ? "prefix" : "full";
    return {
      ...base,
      matches: [{ ...one, match: { ...one.match, path } }],
      rewrite: { ...fixed, path: { kind, value: uri } },
      broken: rule.bad,
    };
  });
}

const MATCH_ANY: ParsedMatch = Object.freeze({ match: { headers: [], query: [] }, rank: [] });

const MATCH_FIELDS = [
  "name",
  "uri",
  "scheme",
  "method",
  "authority",
  "headers",
  "withoutHeaders",
  "queryParams",
  "port",
  "sourceLabels",
  "sourceNamespace",
  "gateways",
  "ignoreUriCase",
  "statPrefix",
];

/** A match; undefined when it holds something that cannot be read: then it matches nothing. */
function readMatch(value: unknown, place: string, notes: Notes, owner: RuleOwner): ParsedMatch | undefined {
  const fields = new Fields(value ?? 0, place, notes, MATCH_FIELDS);
  // Names metrics alone.
  if (fields.has("statPrefix")) fields.without("statPrefix");
  const ignoreCase = fields.flag("ignoreUriCase");
  const labels = Object.fromEntries(fields.pairs("sourceLabels"));
  const match: RouteMatch = {
    path: readUri(fields, ignoreCase),
    scheme: readText(fields, "scheme"),
    method: readText(fields, "method"),
    authority: readText(fields, "authority"),
    headers: [...readMap(fields, "headers", true), ...readMap(fields, "withoutHeaders", true, true)],
    query: readMap(fields, "queryParams", false),
    ...(fields.has("sourceNamespace") ? { sourceNamespace: fields.text("sourceNamespace") } : {}),
    ...(Object.keys(labels).length > 0 ? { sourceLabels: labels } : {}),
  };
  const gateways = fields.texts("gateways").map((one) => gatewayName(one, owner.namespace));
  const port = fields.count("port", 1, 65535);
  if ((gateways.length > 0 ? gateways : owner.gateways).includes("mesh")) {
    for (const label of Object.keys(labels).filter((label) => !Object.hasOwn(SOURCE_LABELS, label))) {
      fields.without(
        `sourceLabels["${label}"]`,
        "waypoints know app, version and the canonical labels of a source alone, so the match never holds there",
      );
    }
  }
  const name = fields.text("name").slice(0, 256);
  return fields.bad ? undefined : {
    ...(name === "" ? {} : { name }),
    match,
    rank: [],
    ...(gateways.length > 0 ? { gateways } : {}),
    ...(port === undefined ? {} : { port }),
  };
}

function readUri(owner: Fields, ignoreCase: boolean): PathMatch | undefined {
  const text = readText(owner, "uri");
  if (!text) return undefined;
  const extra = ignoreCase ? { ignoreCase: true } : {};
  switch (text.kind) {
    case "exact":
      return { kind: "exact", value: text.value, ...extra };
    case "prefix":
      return { kind: "prefix", value: text.value, segments: false, ...extra };
    case "regex":
      return { kind: "regex", value: ignoreCase ? `(?i)${text.value}` : text.value };
  }
}

/** Istio's StringMatch; undefined when it says nothing. */
export function readText(owner: Fields, field: string): TextMatch | undefined {
  if (!owner.has(field)) return undefined;
  const fields = owner.object(field, ["exact", "prefix", "regex"]), text = stringMatch(fields);
  owner.take(fields);
  return text;
}

const MAX_VALUE = 65_536;

function stringMatch(fields: Fields): TextMatch | undefined {
  if (fields.has("exact")) return { kind: "exact", value: fields.text("exact", "", MAX_VALUE) };
  if (fields.has("prefix")) return { kind: "prefix", value: fields.text("prefix", "", MAX_VALUE) };
  if (!fields.has("regex")) return undefined;
  const value = fields.text("regex");
  if (!isRegex(value)) fields.wrong("regex", value);
  return { kind: "regex", value };
}

function readMap(owner: Fields, field: string, headers: boolean, invert = false): HeaderMatch[] {
  const map = owner.raw(field);
  if (map === undefined) return [];
  if (typeof map !== "object" || Array.isArray(map)) {
    owner.wrong(field, map);
    return [];
  }
  return Object.entries(map as Record<string, unknown>).map(([written, condition]) => {
    const one = new Fields(condition ?? {}, owner.at(`${field}["${written}"]`), owner.notes, [
      "exact",
      "prefix",
      "regex",
    ]);
    const name = headers ? written.toLowerCase() : written;
    if (headers ? !isHeaderName(name.replace(/^:/, "")) : name === "" || name.length > 4096) one.wrong("", written);
    const value = stringMatch(one);
    owner.take(one);
    return { name, ...(value ? { value } : {}), ...(invert ? { invert: true } : {}) };
  });
}

interface Headers {
  readonly request?: HeaderChanges;
  readonly response?: HeaderChanges;
  /** Where `Host` is set, the authority is meant. */
  readonly authority?: string;
}

function readHeaders(owner: Fields, field: string): Headers {
  if (!owner.has(field)) return {};
  const fields = owner.object(field, ["request", "response"]);
  let authority: string | undefined;
  const changes = (side: "request" | "response"): HeaderChanges | undefined => {
    if (!fields.has(side)) return undefined;
    const part = fields.object(side, ["set", "add", "remove"]);
    const pairs = (name: string) =>
      part.pairs(name).flatMap(([written, value]): [string, string][] => {
        const header = written.toLowerCase();
        if (side === "request" && name === "set" && (header === "host" || header === ":authority")) {
          // A name is no format string.
          if (!isHeaderValue(value) || value.includes("%")) part.wrong(name, { [written]: value });
          authority = value;
          return [];
        }
        if (!isHeaderName(header) || !isHeaderValue(value)) part.wrong(name, { [written]: value });
        else if (side === "response" && header === "host") part.without(`${name}.${written}`, "answers have no host");
        noteUnchangeable(part, `${name}.${written}`, header);
        noteOperators(part, `${name}.${written}`, value);
        return [[header, value]];
      });
    const result = {
      set: pairs("set"),
      add: pairs("add"),
      remove: part.texts("remove").map((one) => one.toLowerCase()),
    };
    for (const name of result.remove) {
      if (!isHeaderName(name)) part.wrong("remove", name);
      else if (name === "host") part.without("remove", '"host" cannot be removed');
      noteUnchangeable(part, "remove", name);
    }
    fields.take(part);
    return result;
  };
  const request = changes("request"), response = changes("response");
  owner.take(fields);
  return { request: trimmed(request), response: trimmed(response), authority };
}

function trimmed(changes: HeaderChanges | undefined): HeaderChanges | undefined {
  return changes && changes.set.length + changes.add.length + changes.remove.length > 0 ? changes : undefined;
}

interface ReadRewrite {
  /** Replaces what the match took. */
  readonly uri: string;
  readonly fixed: Rewrite | undefined;
}

function readRewrite(owner: Fields, authorityHeader: string | undefined): ReadRewrite | undefined {
  if (!owner.has("rewrite")) {
    return authorityHeader === undefined ? undefined : { uri: "", fixed: { authority: authorityHeader } };
  }
  const fields = owner.object("rewrite", ["uri", "authority", "uriRegexRewrite"]);
  const regex = fields.object("uriRegexRewrite", ["match", "rewrite"]), pattern = regex.text("match");
  const authority = fields.text("authority") || authorityHeader;
  if (fields.has("uriRegexRewrite")) {
    const substitution = regex.text("rewrite");
    if (pattern === "" || !isRegex(pattern)) regex.wrong("match", pattern);
    else if (!isSubstitution(pattern, substitution)) regex.wrong("rewrite", substitution);
  }
  for (const text of [fields.text("uri"), authority ?? "", regex.text("rewrite")]) {
    if (!isHeaderValue(text)) fields.wrong("", text);
  }
  const path = pattern === "" ? undefined : { kind: "regex" as const, pattern, substitution: regex.text("rewrite") };
  fields.take(regex);
  owner.take(fields);
  const fixed = { ...(authority ? { authority } : {}), ...(path ? { path } : {}) };
  return { uri: path ? "" : fields.text("uri"), fixed: Object.keys(fixed).length > 0 ? fixed : undefined };
}

function readRedirect(owner: Fields): RedirectAction | undefined {
  if (!owner.has("redirect")) return undefined;
  const fields = owner.object("redirect", ["uri", "authority", "port", "derivePort", "scheme", "redirectCode"]);
  const status = fields.count("redirectCode") || 301,
    derive = fields.text("derivePort"),
    host = fields.text("authority");
  if (![301, 302, 303, 307, 308].includes(status)) fields.wrong("redirectCode", status);
  if (!["", "FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"].includes(derive)) fields.wrong("derivePort", derive);
  const scheme = fields.text("scheme"), uri = fields.text("uri");
  if (!["", "http", "https"].includes(scheme)) fields.wrong("scheme", scheme);
  for (const text of [host, uri]) if (!isHeaderValue(text)) fields.wrong("", text);
  // A client's own port is kept with the client's own host alone.
  const keeps = derive === "FROM_REQUEST_PORT" || (derive === "" && host === "");
  const action: RedirectAction = {
    kind: "redirect",
    status,
    scheme: scheme || undefined,
    host: host || undefined,
    port: fields.count("port", 1, 65535),
    portRule: keeps ? "FROM_REQUEST" : "SCHEME_DEFAULT",
    path: uri ? { kind: "full", value: uri } : undefined,
  };
  owner.take(fields);
  return action;
}

function readDirect(owner: Fields): ParsedRule["direct"] {
  if (!owner.has("directResponse")) return undefined;
  const fields = owner.object("directResponse", ["status", "body"]), body = fields.object("body", ["string", "bytes"]);
  const status = fields.count("status", 200, 599);
  if (status === undefined) fields.wrong("status", fields.raw("status"));
  const binary = body.has("bytes"), text = body.text(binary ? "bytes" : "string", "", 1024 * 1024);
  if (binary && !isBase64(text)) body.wrong("bytes", text);
  fields.take(body);
  owner.take(fields);
  return { kind: "direct", status: status ?? 500, body: text, ...(binary ? { binary } : {}) };
}

function isBase64(text: string): boolean {
  return /^[A-Za-z0-9+/]*={0,2}$/.test(text) && text.length % 4 === 0;
}

/** A `destination`. */
export function readDestination(owner: Fields, field: string, { namespace, domain }: RuleOwner): BackendReference {
  const fields = owner.object(field, ["host", "subset", "port"]), host = readHostname(fields.raw("host"));
  const port = fields.object("port", ["number"]), number = port.count("number", 1, 65535);
  if (host === undefined || host.startsWith("*")) fields.wrong("host", fields.raw("host"));
  fields.take(port);
  owner.take(fields);
  const hostname = host === undefined ? "" : host.includes(".") ? host : `${host}.${namespace}.svc.${domain}`;
  return { api: "istio", hostname, subset: fields.text("subset"), port: number };
}

function readRoutes(rule: Fields, owner: RuleOwner): ParsedBackend[] {
  const routes = rule.objects("route", ["destination", "weight", "headers"]);
  const weights = routes.map((route) => route.count("weight", 0, 1_000_000) ?? 0);
  const none = weights.every((weight) => weight === 0);
  // One route needs no weight; several without any share nothing.
  if (routes.length > 1 && none) rule.wrong("route", "weights that add up to 0");
  return routes.map((route, i): ParsedBackend => {
    const { request, response, authority } = readHeaders(route, "headers");
    if (authority !== undefined) route.unsupported("headers.request.set Host");
    const ref = readDestination(route, "destination", owner);
    return {
      ref,
      weight: routes.length === 1 ? weights[0] || 1 : weights[i],
      requestHeaders: request,
      responseHeaders: response,
      broken: route.bad,
    };
  });
}

function readMirrors(rule: Fields, owner: RuleOwner): ParsedMirror[] {
  const mirrors = rule.objects("mirrors", ["destination", "percentage"]).map((one): ParsedMirror => ({
    ref: readDestination(one, "destination", owner),
    millionths: readPercentage(one, "percentage") ?? 1_000_000,
  }));
  if (!rule.has("mirror")) return mirrors;
  const whole = rule.count("mirrorPercent", 0, 100);
  const share = readPercentage(rule, "mirrorPercentage") ?? (whole === undefined ? 1_000_000 : whole * 10_000);
  return [{ ref: readDestination(rule, "mirror", owner), millionths: share }, ...mirrors];
}

/** Conditions of Envoy's that never come true here: proxies speak no HTTP/3 to backends, and nobody can name headers to retry by. */
const NEVER = new Set(["retriable-headers", "http3-post-connect-failure"]);

function readRetries(rule: Fields): RetryPolicy | undefined {
  if (!rule.has("retries")) return undefined;
  const fields = rule.object("retries", [
    "attempts",
    "perTryTimeout",
    "retryOn",
    "retryRemoteLocalities",
    "retryIgnorePreviousHosts",
    "backoff",
  ]);
  const on: string[] = [], statusCodes: number[] = [];
  for (const one of fields.text("retryOn").split(",").map((text) => text.trim()).filter(Boolean)) {
    if (/^[1-5]\d\d$/.test(one)) statusCodes.push(Number(one));
    else if (RETRY_CONDITIONS.has(one) || Object.hasOwn(GRPC_RETRY_CONDITIONS, one)) on.push(one);
    else if (NEVER.has(one)) fields.without(`retryOn ${one}`);
    else fields.wrong("retryOn", one);
  }
  if (fields.has("retryIgnorePreviousHosts") && !fields.flag("retryIgnorePreviousHosts")) {
    fields.without("retryIgnorePreviousHosts=false", "retries go to other endpoints first");
  }
  const policy: RetryPolicy = {
    retries: fields.count("attempts", 0, 1000) ?? 0,
    on: on.length + statusCodes.length > 0 ? on : DEFAULT_RETRY.on,
    statusCodes,
    perTryTimeoutMs: fields.duration("perTryTimeout") ?? 0,
    backoffMs: fields.duration("backoff") || DEFAULT_RETRY.backoffMs,
    retryRemoteLocalities: fields.flag("retryRemoteLocalities"),
  };
  rule.take(fields);
  return policy;
}
