// An AuthorizationPolicy as Istio hands it to Envoy: rules of the RBAC filter (Istio's pilot/pkg/security/authz), and a whole configuration.

import type { Group, Mode, Spec } from "./cases.ts";

type Json = Record<string, any>;

const any = (field: string, rules: Json[]): Json =>
  rules.length === 1 ? rules[0] : { [field]: field.startsWith("or_ids") ? { ids: rules } : { rules } };

/** Istio's StringMatcher: `*`, `x*`, `*x`. */
function text(value: string, ignoreCase = false): Json {
  const extra = ignoreCase ? { ignore_case: true } : {};
  if (value === "*") return { safe_regex: { regex: ".+" } };
  if (value.startsWith("*")) return { suffix: value.slice(1), ...extra };
  if (value.endsWith("*")) return { prefix: value.slice(0, -1), ...extra };
  return { exact: value, ...extra };
}

function header(name: string, value: string, ignoreCase = false): Json {
  return { header: { name, ...value === "*" ? { present_match: true } : { string_match: text(value, ignoreCase) } } };
}

function cidr(value: string): Json {
  const [address, length] = value.split("/");
  return { address_prefix: address, prefix_len: length ? Number(length) : address.includes(":") ? 128 : 32 };
}

function path(value: string): Json {
  if (!value.includes("{")) return { url_path: { path: text(value) } };
  return {
    uri_template: {
      name: "uri-template",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
        path_template: value.replaceAll("{**}", "**").replaceAll("{*}", "*"),
      },
    },
  };
}

const OPERATION: Readonly<Record<string, (value: string) => Json>> = {
  paths: path,
  methods: (value) => header(":method", value),
  hosts: (value) => header(":authority", value, true),
};
const SOURCE: Readonly<Record<string, (value: string) => Json>> = {
  ipBlocks: (value) => ({ direct_remote_ip: cidr(value) }),
  remoteIpBlocks: (value) => ({ remote_ip: cidr(value) }),
};

function condition(key: string, value: string): Json {
  if (key === "source.ip") return SOURCE.ipBlocks(value);
  if (key === "remote.ip") return SOURCE.remoteIpBlocks(value);
  return header(key.slice("request.headers[".length, -1), value);
}

/** The fields of one alternative: all must hold. */
function fields(values: Json, readers: typeof OPERATION, or: string, not: string): Json[] {
  return Object.entries(values).map(([name, list]) => {
    const negative = name.startsWith("not"), plain = negative ? name[3].toLowerCase() + name.slice(4) : name;
    const hit = any(or, (list as string[]).map(readers[plain]));
    return negative ? { [not]: hit } : hit;
  });
}

const and = (field: string, key: string, parts: Json[]): Json =>
  parts.length === 0 ? { any: true } : { [field]: { [key]: parts } };

function policyOf({ from, to, when = [] }: Json): Json {
  const conditions = when.flatMap(({ key, values, notValues }: Json) => [
    ...values ? [any("or_ids", values.map((value: string) => condition(key, value)))] : [],
    ...notValues ? [{ not_id: any("or_ids", notValues.map((value: string) => condition(key, value))) }] : [],
  ]);
  const sources: Json[][] = from ? from.map(({ source }: Json) => fields(source, SOURCE, "or_ids", "not_id")) : [[]];
  const operations: Json[][] = to
    ? to.map(({ operation }: Json) => fields(operation, OPERATION, "or_rules", "not_rule"))
    : [[]];
  return {
    permissions: operations.map((parts) => and("and_rules", "rules", parts)),
    principals: sources.map((parts) => and("and_ids", "ids", [...parts, ...conditions])),
  };
}

export function rbacOf({ action, rules }: Spec): Json {
  return { action, policies: Object.fromEntries(rules.map((rule, i) => [`rule${i}`, policyOf(rule)])) };
}

const NORMALIZATION: Readonly<Record<Mode, Json>> = {
  NONE: {},
  BASE: { normalize_path: true },
  MERGE_SLASHES: { normalize_path: true, merge_slashes: true },
  DECODE_AND_MERGE_SLASHES: {
    normalize_path: true,
    merge_slashes: true,
    path_with_escaped_slashes_action: "UNESCAPE_AND_FORWARD",
  },
};

/**
 * One listener for each group and mode. All policies of the group are shadow rules, which decide nothing; the backend is told what they
 * would have decided.
 */
export function envoyConfig(
  groups: readonly Group[],
  portOf: (group: Group, mode: Mode) => number,
  backend: number,
): Json {
  const cluster = "backend", rbac = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3";
  const listener = (group: Group, mode: Mode): Json => {
    const decisions = group.specs.map((_, i) =>
      `%DYNAMIC_METADATA(envoy.filters.http.rbac:p${i}_shadow_engine_result)%`
    )
      .join(",");
    return {
      name: `${group.name} ${mode}`,
      address: { socket_address: { address: "127.0.0.1", port_value: portOf(group, mode) } },
      filter_chains: [{
        filters: [{
          name: "http",
          typed_config: {
            "@type":
              "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix: "http",
            use_remote_address: true,
            xff_num_trusted_hops: group.trustedProxies,
            http_protocol_options: { accept_http_10: true },
            ...NORMALIZATION[mode],
            http_filters: [
              ...group.specs.map((spec, i) => ({
                name: `rbac${i}`,
                typed_config: {
                  "@type": `${rbac}.RBAC`,
                  shadow_rules: rbacOf(spec),
                  shadow_rules_stat_prefix: `p${i}_`,
                },
              })),
              {
                name: "router",
                typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
              },
            ],
            route_config: {
              virtual_hosts: [{
                name: "all",
                domains: ["*"],
                routes: [{ match: { prefix: "" }, route: { cluster } }],
                request_headers_to_add: [{ header: { key: "x-decisions", value: decisions } }],
              }],
            },
          },
        }],
      }],
    };
  };
  return {
    static_resources: {
      listeners: groups.flatMap((group) => group.modes.map((mode) => listener(group, mode))),
      clusters: [{
        name: cluster,
        connect_timeout: "5s",
        type: "STATIC",
        load_assignment: {
          cluster_name: cluster,
          endpoints: [{
            lb_endpoints: [{
              endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: backend } } },
            }],
          }],
        },
      }],
    },
  };
}
