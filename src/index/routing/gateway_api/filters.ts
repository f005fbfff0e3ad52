// Filters of HTTPRoute and GRPCRoute rules and of their backends.

import type { CorsPolicy, HeaderChanges, RedirectAction, Rewrite } from "../../../model/l7.ts";
import { EMPTY_OPERATORS, FORMAT_OPERATORS, FORMAT_PIECE, UNCHANGEABLE_HEADERS } from "../../../model/l7_names.ts";
import { readHostname } from "../hostname.ts";
import { Fields } from "../notes.ts";
import type { ParsedMirror } from "../rule.ts";
import { referenceOf } from "./references.ts";

/** What the filters of a rule come to. */
export interface ParsedFilters {
  requestHeaders?: HeaderChanges;
  responseHeaders?: HeaderChanges;
  redirect?: RedirectAction;
  rewrite?: Rewrite;
  cors?: CorsPolicy;
  readonly mirrors: ParsedMirror[];
}

/** Filters that a place may hold. */
export const RULE_FILTERS: readonly string[] = [
  "RequestHeaderModifier",
  "ResponseHeaderModifier",
  "RequestRedirect",
  "URLRewrite",
  "RequestMirror",
  "CORS",
];
export const GRPC_RULE_FILTERS: readonly string[] = [
  "RequestHeaderModifier",
  "ResponseHeaderModifier",
  "RequestMirror",
];
export const BACKEND_FILTERS: readonly string[] = ["RequestHeaderModifier", "ResponseHeaderModifier"];

/** The field of a filter that holds its settings. */
const FIELD: Readonly<Record<string, string>> = {
  RequestHeaderModifier: "requestHeaderModifier",
  ResponseHeaderModifier: "responseHeaderModifier",
  RequestRedirect: "requestRedirect",
  URLRewrite: "urlRewrite",
  RequestMirror: "requestMirror",
  CORS: "cors",
};

/** Reads `filters`; what cannot be done makes `owner` bad. */
export function readFilters(owner: Fields, allowed: readonly string[], namespace: string): ParsedFilters {
  const result: ParsedFilters = { mirrors: [] };
  for (const [i, one] of owner.list("filters").entries()) {
    const place = owner.at(`filters[${i}]`);
    const filter = new Fields(one ?? 0, place, owner.notes, [
      "type",
      ...Object.values(FIELD),
      "extensionRef",
      "externalAuth",
    ]);
    const type = filter.text("type"), field = Object.hasOwn(FIELD, type) ? FIELD[type] : undefined;
    if (field === undefined || !allowed.includes(type)) {
      filter.unsupported(`type ${type || "(none)"}`);
      owner.take(filter);
      continue;
    }
    // Newer definitions refuse settings of another type; older ones leave that to a webhook.
    for (const other of [...Object.values(FIELD), "extensionRef", "externalAuth"]) {
      if (other !== field && filter.has(other)) filter.unsupported(`${other} beside type ${type}`);
    }
    const body = (known: readonly string[]) => {
      const fields = filter.object(field, known);
      if (!filter.has(field)) fields.wrong("", undefined);
      return fields;
    };
    owner.take(filter, readFilter(type, body, result, namespace));
  }
  if (result.redirect && (result.rewrite || result.mirrors.length > 0)) {
    owner.bad = true;
    owner.notes.add(`${owner.at("filters")}: RequestRedirect cannot stand beside URLRewrite or RequestMirror`);
  }
  return result;
}

function readFilter(
  type: string,
  body: (known: readonly string[]) => Fields,
  result: ParsedFilters,
  namespace: string,
): Fields {
  switch (type) {
    case "RequestHeaderModifier": {
      const fields = body(["set", "add", "remove"]);
      result.requestHeaders = joined(result.requestHeaders, readHeaderChanges(fields));
      return fields;
    }
    case "ResponseHeaderModifier": {
      const fields = body(["set", "add", "remove"]);
      result.responseHeaders = joined(result.responseHeaders, readHeaderChanges(fields));
      return fields;
    }
    case "RequestRedirect": {
      const fields = body(["scheme", "hostname", "path", "port", "statusCode"]);
      result.redirect = readRedirect(fields);
      return fields;
    }
    case "URLRewrite": {
      const fields = body(["hostname", "path"]);
      result.rewrite = { authority: readHost(fields), path: readPath(fields) };
      return fields;
    }
    case "RequestMirror": {
      const fields = body(["backendRef", "percent", "fraction"]);
      const ref = fields.object("backendRef", ["group", "kind", "namespace", "name", "port"]);
      fields.take(ref);
      result.mirrors.push({ ref: referenceOf(ref, namespace), millionths: readShare(fields) });
      return fields;
    }
    default: {
      const fields = body([
        "allowOrigins",
        "allowCredentials",
        "allowMethods",
        "allowHeaders",
        "exposeHeaders",
        "maxAge",
      ]);
      result.cors = readCors(fields);
      return fields;
    }
  }
}

const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
// deno-lint-ignore no-control-regex
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;

export function isHeaderName(name: string): boolean {
  return TOKEN.test(name) && name.length <= 256;
}

export function isHeaderValue(value: string): boolean {
  return !CONTROL.test(value) && value.length <= 8192;
}

/** A change of such a header is left out: the proxy writes it itself. */
export function noteUnchangeable(fields: Fields, field: string, name: string): void {
  if (UNCHANGEABLE_HEADERS.has(name)) fields.without(field, `"${name}" belongs to the connection`);
}

/** Tells of operators in a header's value that are sent as they are written, or have no value here. */
export function noteOperators(fields: Fields, field: string, value: string): void {
  for (const [piece, name] of value.matchAll(FORMAT_PIECE)) {
    if (name !== undefined && EMPTY_OPERATORS.has(name)) fields.without(field, `${piece} has no value here`);
    else if (piece !== "%%" && (name === undefined || !FORMAT_OPERATORS.has(name))) {
      fields.without(
        field,
        `${
          name === undefined ? "a % alone" : piece
        } is no operator, the value is sent as written (%% is a percent sign)`,
      );
    }
  }
}

function readHeaderChanges(fields: Fields): HeaderChanges {
  const pairs = (field: string) => {
    const seen = new Map<string, string>();
    for (const one of fields.objects(field, ["name", "value"])) {
      const name = one.text("name").toLowerCase(), value = one.text("value");
      if (!isHeaderName(name) || !isHeaderValue(value) || name === "host") one.wrong("", { name, value });
      noteUnchangeable(one, "", name);
      noteOperators(one, "value", value);
      // Of entries whose names are the same the first counts.
      if (!one.bad && !seen.has(name)) seen.set(name, value);
      fields.take(one);
    }
    return [...seen];
  };
  const remove = fields.texts("remove").map((name) => name.toLowerCase());
  for (const name of remove) {
    if (!isHeaderName(name) || name === "host") fields.wrong("remove", name);
    noteUnchangeable(fields, "remove", name);
  }
  return { set: pairs("set"), add: pairs("add"), remove };
}

function joined(a: HeaderChanges | undefined, b: HeaderChanges): HeaderChanges {
  return a ? { set: [...a.set, ...b.set], add: [...a.add, ...b.add], remove: [...a.remove, ...b.remove] } : b;
}

function readHost(fields: Fields): string | undefined {
  if (!fields.has("hostname")) return undefined;
  const host = readHostname(fields.raw("hostname"));
  if (host === undefined || host.startsWith("*")) fields.wrong("hostname", fields.raw("hostname"));
  return host;
}

function readPath(fields: Fields): { kind: "full" | "prefix"; value: string } | undefined {
  if (!fields.has("path")) return undefined;
  const path = fields.object("path", ["type", "replaceFullPath", "replacePrefixMatch"]), type = path.text("type");
  let result: { kind: "full" | "prefix"; value: string } | undefined;
  if (type === "ReplaceFullPath" && path.has("replaceFullPath")) {
    result = { kind: "full", value: path.text("replaceFullPath") };
  } else if (type === "ReplacePrefixMatch" && path.has("replacePrefixMatch")) {
    result = { kind: "prefix", value: path.text("replacePrefixMatch") };
  } else path.wrong("type", type);
  if (result && !isHeaderValue(result.value)) path.wrong("", result.value);
  fields.take(path);
  return result;
}

const REDIRECTS = [301, 302, 303, 307, 308];

function readRedirect(fields: Fields): RedirectAction {
  const scheme = fields.text("scheme"), status = fields.count("statusCode") ?? 302;
  if (!["", "http", "https"].includes(scheme)) fields.wrong("scheme", scheme);
  if (!REDIRECTS.includes(status)) fields.wrong("statusCode", status);
  return {
    kind: "redirect",
    status,
    scheme: scheme || undefined,
    host: readHost(fields),
    port: fields.count("port", 1, 65535),
    portRule: "LISTENER",
    path: readPath(fields),
  };
}

/** Millionths: everything, a percentage, or a fraction. */
function readShare(fields: Fields): number {
  if (fields.has("percent")) return (fields.count("percent", 0, 100) ?? 0) * 10_000;
  if (!fields.has("fraction")) return 1_000_000;
  const fraction = fields.object("fraction", ["numerator", "denominator"]);
  const numerator = fraction.count("numerator") ?? 0, denominator = fraction.count("denominator", 1) ?? 100;
  fields.take(fraction);
  return Math.min(1_000_000, Math.round(numerator * 1_000_000 / denominator));
}

function readCors(fields: Fields): CorsPolicy {
  const headers = (field: string) =>
    fields.texts(field).filter((name) => {
      if (isHeaderName(name)) return true;
      fields.wrong(field, name);
      return false;
    });
  return {
    allowOrigins: fields.texts("allowOrigins").map((value) =>
      value.includes("*") ? { kind: "wildcard", value } : { kind: "exact", value }
    ),
    allowMethods: headers("allowMethods"),
    allowHeaders: headers("allowHeaders"),
    exposeHeaders: headers("exposeHeaders"),
    maxAgeSeconds: fields.count("maxAge", 0) ?? 5,
    allowCredentials: fields.flag("allowCredentials"),
    unmatchedPreflights: "IGNORE",
  };
}
