// One rule of a VirtualService's `tcp` or `tls`: where bytes go.

import type { Labels } from "../../labels.ts";
import { readHostname } from "../hostname.ts";
import { Fields, type Notes } from "../notes.ts";
import type { BackendReference } from "../rule.ts";
import { readDestination, type RuleOwner } from "./http_rule.ts";
import { gatewayName } from "./hosts.ts";

export interface ParsedStreamRule {
  /** Empty: everything. */
  readonly matches: readonly StreamMatch[];
  readonly backends: readonly { readonly ref: BackendReference; readonly weight: number }[];
}

export interface StreamMatch {
  readonly port?: number;
  readonly gateways?: readonly string[];
  readonly sniHosts: readonly string[];
  readonly sourceNamespace?: string;
  readonly sourceLabels: Labels;
}

/** What cannot be read, or is not supported, makes a match match nothing, and a rule have no backends: its connections are closed. */
export function readStreamRule(value: unknown, place: string, notes: Notes, owner: RuleOwner): ParsedStreamRule {
  const rule = new Fields(value ?? 0, place, notes, ["match", "route"]);
  const matches = rule.list("match").flatMap((match, i) => readMatch(match, rule.at(`match[${i}]`), notes, owner));
  const routes = rule.objects("route", ["destination", "weight"]);
  const backends = routes.map((route) => ({
    ref: readDestination(route, "destination", owner),
    weight: route.count("weight", 0, 1_000_000) ?? 0,
  }));
  rule.take(...routes);
  const none = rule.list("match").length > 0 && matches.length === 0;
  return {
    matches: none ? [NOTHING] : matches,
    backends: rule.bad ? [] : backends.map((one) => backends.length === 1 ? { ...one, weight: one.weight || 1 } : one),
  };
}

/** No gateway has this name. */
const NOTHING: StreamMatch = { gateways: [""], sniHosts: [], sourceLabels: {} };

function readMatch(value: unknown, place: string, notes: Notes, owner: RuleOwner): StreamMatch[] {
  const fields = new Fields(value ?? 0, place, notes, [
    "port",
    "gateways",
    "sniHosts",
    "sourceLabels",
    "sourceNamespace",
  ]);
  const sniHosts = fields.texts("sniHosts").flatMap((text) => {
    const host = readHostname(text);
    if (host === undefined) fields.wrong("sniHosts", text);
    return host === undefined ? [] : [host];
  });
  const gateways = fields.texts("gateways").map((one) => gatewayName(one, owner.namespace)),
    port = fields.count("port", 1, 65535);
  const sourceLabels = Object.fromEntries(fields.pairs("sourceLabels"));
  if ((gateways.length > 0 ? gateways : owner.gateways).includes("mesh")) {
    for (const field of ["sourceLabels", "sourceNamespace"]) {
      if (fields.has(field)) {
        fields.without(field, "waypoints do not tell bytes apart by their source, so the match never holds there");
      }
    }
  }
  if (fields.bad) return [];
  return [{
    sniHosts,
    sourceLabels,
    ...(port === undefined ? {} : { port }),
    ...(gateways.length > 0 ? { gateways } : {}),
    ...(fields.has("sourceNamespace") ? { sourceNamespace: fields.text("sourceNamespace") } : {}),
  }];
}
