import { all, boolean, choice, list, object, rule, type Schema, string } from "../schema.ts";
import {
  atomicList,
  backendObject,
  keyedList,
  localRef,
  matching,
  portNumber,
  preciseHostname,
  text,
} from "./common.ts";

const TOKEN = "[A-Za-z0-9!#$%&'*+\\-.^_\\x60|~]+";

/** A header's name, as HTTP allows it. */
export const headerName: Schema = matching(TOKEN, 256);

const headers: Schema = keyedList(object({ name: headerName, value: text(4096, 1) }, ["name", "value"]), ["name"], {
  maxItems: 16,
});

/** Changes to the headers of requests or responses. */
export const headerModifier: Schema = object({
  set: headers,
  add: headers,
  remove: list(string, { maxItems: 16, "x-kubernetes-list-type": "set" }),
});

/** Where a copy of the requests goes; `percent` and `fraction` exclude each other. */
export const mirror: Schema = object(
  {
    backendRef: backendObject,
    percent: { type: "integer", format: "int32", minimum: 0, maximum: 100 },
    fraction: object(
      {
        numerator: { type: "integer", format: "int32", minimum: 0 },
        denominator: { type: "integer", format: "int32", minimum: 1, default: 100 },
      },
      ["numerator"],
      rule("self.numerator <= self.denominator", "numerator must be less than or equal to denominator"),
    ),
  },
  ["backendRef"],
  rule("!(has(self.percent) && has(self.fraction))", "Only one of percent or fraction may be specified in HTTPRequestMirrorFilter"),
);

const pathModifier: Schema = object(
  {
    type: choice("ReplaceFullPath", "ReplacePrefixMatch"),
    replaceFullPath: text(1024),
    replacePrefixMatch: text(1024),
  },
  ["type"],
  all(
    rule("self.type == 'ReplaceFullPath' ? has(self.replaceFullPath) : true", "replaceFullPath must be specified when type is set to 'ReplaceFullPath'"),
    rule("has(self.replaceFullPath) ? self.type == 'ReplaceFullPath' : true", "type must be 'ReplaceFullPath' when replaceFullPath is set"),
    rule("self.type == 'ReplacePrefixMatch' ? has(self.replacePrefixMatch) : true", "replacePrefixMatch must be specified when type is set to 'ReplacePrefixMatch'"),
    rule("has(self.replacePrefixMatch) ? self.type == 'ReplacePrefixMatch' : true", "type must be 'ReplacePrefixMatch' when replacePrefixMatch is set"),
  ),
);

const redirect: Schema = object({
  scheme: choice("http", "https"),
  hostname: preciseHostname,
  path: pathModifier,
  port: portNumber,
  statusCode: { type: "integer", default: 302, enum: [301, 302, 303, 307, 308] },
});

const origin: Schema = { type: "string", minLength: 1, maxLength: 253, pattern: "^(\\*|([a-z][a-z0-9+.-]*):\\/\\/(\\*|(\\*\\.)?[^\\/:@*]+)(:[0-9]{1,5})?)$" };
const corsNames: Schema = list(matching(TOKEN, 256), { maxItems: 64, "x-kubernetes-list-type": "set" });

const cors: Schema = object({
  allowOrigins: list(origin, { maxItems: 64, "x-kubernetes-list-type": "set" }),
  allowMethods: list(choice("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"), {
    maxItems: 9,
    "x-kubernetes-list-type": "set",
  }),
  allowHeaders: corsNames,
  exposeHeaders: corsNames,
  maxAge: { type: "integer", format: "int32", default: 5, minimum: 1 },
  allowCredentials: boolean,
});

const allowedHeaders: Schema = list(string, { maxItems: 64, "x-kubernetes-list-type": "set" });

const externalAuth: Schema = object(
  {
    backendRef: backendObject,
    protocol: choice("HTTP", "GRPC"),
    grpc: object({ allowedHeaders }),
    http: object({
      allowedHeaders,
      allowedResponseHeaders: allowedHeaders,
      path: { type: "string", maxLength: 1024, pattern: "^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$" },
    }),
    forwardBody: object({ maxSize: { type: "integer" } }),
  },
  ["backendRef", "protocol"],
  all(
    rule("self.protocol == 'GRPC' ? has(self.grpc) : !has(self.grpc)", "grpc must be specified for, and only for, protocol 'GRPC'"),
    rule("self.protocol == 'HTTP' ? has(self.http) : !has(self.http)", "http must be specified for, and only for, protocol 'HTTP'"),
  ),
);

/** The fields of filters by the type that asks for each. */
const HTTP_FILTERS: Record<string, readonly [field: string, schema: Schema]> = {
  RequestHeaderModifier: ["requestHeaderModifier", headerModifier],
  ResponseHeaderModifier: ["responseHeaderModifier", headerModifier],
  RequestMirror: ["requestMirror", mirror],
  RequestRedirect: ["requestRedirect", redirect],
  URLRewrite: ["urlRewrite", object({ hostname: preciseHostname, path: pathModifier })],
  ExtensionRef: ["extensionRef", localRef],
  CORS: ["cors", cors],
  ExternalAuth: ["externalAuth", externalAuth],
};

/** A filter of some types: `type` and the one field that belongs to it. */
function filterOf(types: readonly string[]): Schema {
  const chosen = types.map((type) => [type, ...HTTP_FILTERS[type]] as const);
  return object(
    { type: choice(...types), ...Object.fromEntries(chosen.map(([, field, schema]) => [field, schema])) },
    ["type"],
    all(
      ...chosen.map(([type, field]) =>
        rule(
          `self.type == '${type}' ? has(self.${field}) : !has(self.${field})`,
          `filter.${field} must be specified for, and only for, filter.type ${type}`,
        )
      ),
    ),
  );
}

/** At most one filter of each of these types. */
function once(types: readonly string[]): Schema {
  return all(
    ...types.map((type) => rule(`self.filter(f, f.type == '${type}').size() <= 1`, `${type} filter cannot be repeated`)),
  );
}

const HTTP = Object.keys(HTTP_FILTERS);
const GRPC = ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"];

export const httpFilters: Schema = atomicList(filterOf(HTTP), {
  maxItems: 16,
  ...all(
    rule(
      "!(self.exists(f, f.type == 'RequestRedirect') && self.exists(f, f.type == 'URLRewrite'))",
      "May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, but not both",
    ),
    once(["CORS", "RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite"]),
  ),
});

export const grpcFilters: Schema = atomicList(filterOf(GRPC), {
  maxItems: 16,
  ...once(["RequestHeaderModifier", "ResponseHeaderModifier"]),
});
