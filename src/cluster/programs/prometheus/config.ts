// A Prometheus configuration whose kubernetes_sd_configs are turned into http_sd_configs.

import { parse, stringify } from "yaml";
import { MeshError } from "../../../core/errors.ts";
import { SD_ROLES, type SdRole } from "./targets.ts";

/** One kubernetes_sd_config. */
export interface Discovery {
  readonly role: SdRole;
  /** Empty: all. */
  readonly namespaces: readonly string[];
  readonly selectors: readonly { role: string; label?: string; field?: string }[];
}

/** What the API is asked with; here it is always the pod's own account. */
const CLIENT_FIELDS = new Set([
  "authorization",
  "basic_auth",
  "oauth2",
  "bearer_token",
  "bearer_token_file",
  "tls_config",
  "proxy_url",
  "no_proxy",
  "proxy_from_environment",
  "follow_redirects",
  "enable_http2",
]);

/** How often Prometheus asks for the targets. */
const REFRESH = "5s";

/**
 * @param directory where the file lies: relative names in it are taken from there
 * @param ownNamespace the pod's namespace, for `own_namespace`
 * @param urlOf where the targets of a discovery are served
 * @returns the configuration as YAML
 * @throws MeshError `bad_prometheus_config`, naming what is not known here
 */
export function withoutKubernetesSd(
  text: string,
  directory: string,
  ownNamespace: string,
  urlOf: (discovery: Discovery) => string,
): string {
  let config: any;
  try {
    config = parse(text, { merge: true }) ?? {};
  } catch (cause) {
    throw bad("is not YAML", cause);
  }
  const convert = (holder: any) => {
    if (holder?.kubernetes_sd_configs === undefined) return holder;
    const { kubernetes_sd_configs: found, ...rest } = holder;
    const http = list(found).map((each) => ({
      url: urlOf(discoveryOf(each, ownNamespace)),
      refresh_interval: REFRESH,
    }));
    return { ...rest, http_sd_configs: [...list(rest.http_sd_configs), ...http] };
  };
  for (const [section, field] of [[config, "scrape_configs"], [config.alerting, "alertmanagers"]] as const) {
    if (Array.isArray(section?.[field])) section[field] = section[field].map(convert);
  }
  return stringify(absolute(config, directory), { aliasDuplicateObjects: false, lineWidth: 0 });
}

function discoveryOf(sd: any, ownNamespace: string): Discovery {
  const { role, namespaces, selectors, ...rest } = sd ?? {};
  if (!SD_ROLES.includes(role)) throw bad(`asks for role "${role}" of kubernetes_sd; there are ${SD_ROLES.join(", ")}`);
  const unknown = Object.keys(rest).filter((name) => !CLIENT_FIELDS.has(name));
  if (unknown.length > 0) throw bad(`sets ${unknown.join(", ")} in kubernetes_sd_configs, which is not known here`);
  const names = [...list(namespaces?.names).map(String), ...(namespaces?.own_namespace ? [ownNamespace] : [])];
  return { role, namespaces: names, selectors: list(selectors) };
}

/** Names of files are relative to the configuration's own folder, which the new file does not lie in. */
function absolute(value: any, directory: string, key = ""): any {
  if (key === "labels" || key === "external_labels") return value;
  if (Array.isArray(value)) return value.map((item) => absolute(item, directory, key));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, absolute(item, directory, name)]));
  }
  const names = /(?:^|_)files?$/.test(key) && typeof value === "string" && value !== "" && !value.startsWith("/");
  return names ? `${directory}/${value}` : value;
}

const list = (value: unknown): any[] => Array.isArray(value) ? value : [];

function bad(problem: string, cause?: unknown): MeshError {
  return new MeshError("bad_prometheus_config", `Prometheus' configuration ${problem}`, { cause });
}
