import { all, choice, list, object, rule, type Schema } from "../schema.ts";
import {
  AGE,
  atomicList,
  backendRef,
  COLUMNS_OF_ROUTES,
  duration,
  type GatewayApiKind,
  hostname,
  keyedList,
  parentRefs,
  routeStatus,
  sectionName,
  text,
} from "./common.ts";
import { grpcFilters, headerName, httpFilters } from "./filters.ts";

const hostnames: Schema = atomicList(hostname, { maxItems: 16 });
const defaultGateways: Schema = choice("All", "None");

const sessionPersistence: Schema = object({
  sessionName: text(128),
  type: { ...choice("Cookie", "Header"), default: "Cookie" },
  absoluteTimeout: duration,
  idleTimeout: duration,
  cookieConfig: object({ lifetimeType: { ...choice("Permanent", "Session"), default: "Session" } }),
});

const valueMatch = (name: Schema, maxLength: number) =>
  keyedList(
    object(
      { type: { ...choice("Exact", "RegularExpression"), default: "Exact" }, name, value: text(maxLength, 1) },
      ["name", "value"],
    ),
    ["name"],
    { maxItems: 16 },
  );

/** What an exact path or prefix must not contain, and why it would never match. */
const BAD_IN_PATH = ["//", "/./", "/../", "%2f", "%2F", "#"];
const BAD_AT_END = ["/..", "/."];

const pathRules = all(
  rule(
    "(self.type in ['Exact','PathPrefix']) ? self.value.startsWith('/') : true",
    "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
  ),
  ...BAD_IN_PATH.map((part) =>
    rule(
      `(self.type in ['Exact','PathPrefix']) ? !self.value.contains('${part}') : true`,
      `must not contain '${part}' when type one of ['Exact', 'PathPrefix']`,
    )
  ),
  ...BAD_AT_END.map((part) =>
    rule(
      `(self.type in ['Exact','PathPrefix']) ? !self.value.endsWith('${part}') : true`,
      `must not end with '${part}' when type one of ['Exact', 'PathPrefix']`,
    )
  ),
);

const ROOT_PATH = { type: "PathPrefix", value: "/" };

const httpMatch: Schema = object({
  path: {
    ...object(
      {
        type: { ...choice("Exact", "PathPrefix", "RegularExpression"), default: "PathPrefix" },
        value: { ...text(1024), default: "/" },
      },
      [],
      pathRules,
    ),
    default: ROOT_PATH,
  },
  headers: valueMatch(headerName, 4096),
  queryParams: valueMatch(headerName, 1024),
  method: choice("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"),
});

const hasFilters = "(!has(self.filters) || self.filters.all(f, ";
/** A path modifier that replaces the matched prefix needs exactly one prefix match. */
const prefixReplacement = (field: string) =>
  rule(
    `(has(self.filters) && self.filters.exists(f, has(f.${field}) && has(f.${field}.path) && f.${field}.path.type == 'ReplacePrefixMatch' && has(f.${field}.path.replacePrefixMatch))) ? ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? false : true) : true`,
    `When using ${field} filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified`,
  );

const httpRule: Schema = object(
  {
    name: sectionName,
    matches: atomicList(httpMatch, { maxItems: 64, default: [{ path: ROOT_PATH }] }),
    filters: httpFilters,
    backendRefs: atomicList(backendRef({ filters: httpFilters }), { maxItems: 16 }),
    timeouts: object(
      { request: duration, backendRequest: duration },
      [],
      rule(
        "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && duration(self.backendRequest) > duration(self.request))",
        "backendRequest timeout cannot be longer than request timeout",
      ),
    ),
    retry: object({
      codes: list({ type: "integer", minimum: 400, maximum: 599 }, { "x-kubernetes-list-type": "set" }),
      attempts: { type: "integer", minimum: 1 },
      backoff: duration,
    }),
    sessionPersistence,
  },
  [],
  all(
    rule(
      `(has(self.backendRefs) && size(self.backendRefs) > 0) ? ${hasFilters}!has(f.requestRedirect))) : true`,
      "RequestRedirect filter must not be used together with backendRefs",
    ),
    prefixReplacement("requestRedirect"),
    prefixReplacement("urlRewrite"),
  ),
);

const httpRoute: GatewayApiKind = {
  kind: "HTTPRoute",
  plural: "httproutes",
  versions: ["v1", "v1beta1"],
  columns: COLUMNS_OF_ROUTES,
  spec: object({
    parentRefs,
    hostnames,
    rules: atomicList(httpRule, { minItems: 1, maxItems: 16, default: [{ matches: [{ path: ROOT_PATH }] }] }),
    useDefaultGateways: defaultGateways,
  }),
  status: routeStatus,
};

const grpcName: Schema = text(1024);

const grpcMatch: Schema = object({
  method: {
    ...object(
      {
        type: { ...choice("Exact", "RegularExpression"), default: "Exact" },
        service: grpcName,
        method: grpcName,
      },
      [],
      all(
        rule(
          "has(self.type) ? has(self.service) || has(self.method) : true",
          "One or both of 'service' or 'method' must be specified",
        ),
        rule(
          "(!has(self.type) || self.type == 'Exact') && has(self.service) ? self.service.matches(r\"\"\"^(?i)\\.?[a-z_][a-z_0-9]*(\\.[a-z_][a-z_0-9]*)*$\"\"\") : true",
          "service must only contain valid characters",
        ),
        rule(
          "(!has(self.type) || self.type == 'Exact') && has(self.method) ? self.method.matches(r\"\"\"^[A-Za-z_][A-Za-z_0-9]*$\"\"\") : true",
          "method must only contain valid characters",
        ),
      ),
    ),
  },
  headers: valueMatch(headerName, 4096),
});

const grpcRoute: GatewayApiKind = {
  kind: "GRPCRoute",
  plural: "grpcroutes",
  versions: ["v1"],
  columns: COLUMNS_OF_ROUTES,
  spec: object({
    parentRefs,
    hostnames,
    rules: atomicList(
      object({
        name: sectionName,
        matches: atomicList(grpcMatch, { maxItems: 64 }),
        filters: grpcFilters,
        backendRefs: atomicList(backendRef({ filters: grpcFilters }), { maxItems: 16 }),
        sessionPersistence,
      }),
      { maxItems: 16 },
    ),
    useDefaultGateways: defaultGateways,
  }),
  status: routeStatus,
};

const l4Rules: Schema = atomicList(
  object({ name: sectionName, backendRefs: atomicList(backendRef(), { minItems: 1, maxItems: 16 }) }, ["backendRefs"]),
  { minItems: 1, maxItems: 1 },
);

const tlsRoute: GatewayApiKind = {
  kind: "TLSRoute",
  plural: "tlsroutes",
  versions: ["v1", "v1alpha3", "v1alpha2"],
  columns: [AGE],
  spec: object(
    {
      parentRefs,
      hostnames: { ...hostnames, minItems: 1, maxItems: 1024 },
      rules: l4Rules,
      useDefaultGateways: defaultGateways,
    },
    ["hostnames", "rules"],
  ),
  status: routeStatus,
};

/** Routes of bytes. */
function l4Route(kind: string): GatewayApiKind {
  return {
    kind,
    plural: `${kind.toLowerCase()}s`,
    versions: ["v1", "v1alpha2"],
    columns: [AGE],
    spec: object({ parentRefs, rules: l4Rules, useDefaultGateways: defaultGateways }, ["rules"]),
    status: routeStatus,
  };
}

export const ROUTES: readonly GatewayApiKind[] = [httpRoute, grpcRoute, tlsRoute, l4Route("TCPRoute"), l4Route("UDPRoute")];
