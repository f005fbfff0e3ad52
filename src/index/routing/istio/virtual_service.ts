// VirtualService, read once for each version of an object: who it is for, and its rules.

import type { KubeObject } from "../../../kube/types.ts";
import { isObject, listOf, objectOf, textOf } from "../../read.ts";
import { readHostname } from "../hostname.ts";
import { Fields, Notes } from "../notes.ts";
import type { ParsedRule } from "../rule.ts";
import { gatewayName } from "./hosts.ts";
import { readHttpRule } from "./http_rule.ts";
import { type ParsedStreamRule, readStreamRule } from "./stream_rule.ts";

export interface ParsedVirtualService {
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  readonly age: string;
  /** Full names. */
  readonly hosts: readonly string[];
  /** `mesh`, or `namespace/name` of Istio Gateways. */
  readonly gateways: readonly string[];
  readonly exportTo: readonly string[] | undefined;
  readonly http: readonly ParsedRule[];
  readonly tls: readonly ParsedStreamRule[];
  readonly tcp: readonly ParsedStreamRule[];
  readonly notes: Notes;
  /** Another VirtualService delegates to it: it has no hosts of its own. */
  readonly delegated: boolean;
}

/** Finds a VirtualService that another one delegates to. */
export type FindDelegate = (namespace: string, name: string) => KubeObject | undefined;

interface Cached {
  readonly domain: string;
  /** The delegates that went in. */
  readonly delegates: readonly (KubeObject | undefined)[];
  readonly parsed: ParsedVirtualService;
}

const read = new WeakMap<KubeObject, Cached>();

export function readVirtualService(object: KubeObject, domain: string, find: FindDelegate): ParsedVirtualService {
  const known = read.get(object), delegates = delegatesOf(object).map(({ namespace, name }) => find(namespace, name));
  const same = known && known.domain === domain && known.delegates.length === delegates.length &&
    known.delegates.every((one, i) => one === delegates[i]);
  if (same) return known.parsed;
  const parsed = parse(object, domain, find);
  read.set(object, { domain, delegates, parsed });
  return parsed;
}

function delegatesOf({ metadata, spec }: KubeObject): { namespace: string; name: string }[] {
  return listOf(objectOf(spec).http).map(objectOf).filter(({ delegate }) => isObject(delegate)).map(({ delegate }) => {
    const { name, namespace } = objectOf(delegate);
    return { name: textOf(name), namespace: textOf(namespace) || (metadata.namespace ?? "default") };
  });
}

function parse(object: KubeObject, domain: string, find: FindDelegate): ParsedVirtualService {
  const { name, namespace = "default", generation = 0, creationTimestamp = "" } = object.metadata, notes = new Notes();
  const fields = new Fields(object.spec, "", notes, ["hosts", "gateways", "http", "tls", "tcp", "exportTo"]);
  const hosts: string[] = [];
  for (const value of fields.list("hosts")) {
    const host = readHostname(value);
    if (host === undefined) fields.wrong("hosts", value);
    else hosts.push(host.includes(".") || host === "*" ? host : `${host}.${namespace}.svc.${domain}`);
  }
  const gateways = fields.texts("gateways").map((one) => gatewayName(one, namespace));
  const bound = gateways.length > 0 ? gateways : ["mesh"];
  const context = { namespace, domain, name: `${namespace}.${name}`, gateways: bound };
  return {
    namespace,
    name,
    generation,
    age: `${creationTimestamp} ${namespace}/${name}`,
    hosts,
    gateways: bound,
    exportTo: fields.has("exportTo") ? fields.texts("exportTo") : undefined,
    http: fields.list("http").flatMap((rule, i) =>
      withDelegate(rule, namespace, find, notes, `http[${i}]`).flatMap(({ rule, place, owner }) =>
        readHttpRule(rule, place, notes, { ...context, namespace: owner })
      )
    ),
    tls: fields.list("tls").map((rule, i) => readStreamRule(rule, `tls[${i}]`, notes, context)),
    tcp: fields.list("tcp").map((rule, i) => readStreamRule(rule, `tcp[${i}]`, notes, context)),
    notes,
    delegated: fields.list("hosts").length === 0,
  };
}

interface Expanded {
  readonly rule: unknown;
  readonly place: string;
  /** Whose short host names are meant. */
  readonly owner: string;
}

/** What a rule passes on to the rules that it delegates to, where they say nothing themselves. */
const INHERITED = [
  "rewrite",
  "timeout",
  "retries",
  "fault",
  "mirror",
  "mirrors",
  "mirrorPercentage",
  "corsPolicy",
  "headers",
];

function withDelegate(rule: unknown, namespace: string, find: FindDelegate, notes: Notes, place: string): Expanded[] {
  const root = objectOf(rule), { delegate } = root;
  if (!isObject(delegate)) return [{ rule, place, owner: namespace }];
  const name = textOf(delegate.name), owner = textOf(delegate.namespace) || namespace, object = find(owner, name);
  if (root.route || root.redirect || root.directResponse) {
    notes.add(`${place}: delegate cannot stand beside route or redirect`);
  }
  for (const field of Object.keys(delegate)) {
    if (field === "name" || field === "namespace") continue;
    notes.add(`${place}.delegate.${field} is not supported: the rule is left out`);
    return [];
  }
  if (!object) {
    notes.add(`${place}.delegate ${owner}/${name} was not found`);
    return [];
  }
  const spec = objectOf(object.spec);
  if (listOf(spec.hosts).length > 0) {
    notes.add(`${place}.delegate ${owner}/${name} has hosts of its own`);
    return [];
  }
  return listOf(spec.http).flatMap((child, i): Expanded[] => {
    const fields = objectOf(child), at = `${place}.delegate(${owner}/${name}).http[${i}]`;
    if (fields.delegate) {
      notes.add(`${at}: a delegate cannot delegate`);
      return [];
    }
    const match = mergeMatches(listOf(root.match), listOf(fields.match));
    if (!match) {
      notes.add(`${at}: its matches contradict those of ${place}`);
      return [];
    }
    const merged: Record<string, unknown> = { ...fields, match };
    for (const field of INHERITED) if (merged[field] === undefined) merged[field] = root[field];
    return [{ rule: merged, place: at, owner }];
  });
}

/** Each pair that can hold together; undefined when there is none. */
function mergeMatches(root: readonly unknown[], child: readonly unknown[]): unknown[] | undefined {
  if (root.length === 0) return [...child];
  if (child.length === 0) return [...root];
  const pairs = root.flatMap((a) => child.flatMap((b) => mergeMatch(objectOf(a), objectOf(b))));
  return pairs.length > 0 ? pairs : undefined;
}

function mergeMatch(root: Record<string, unknown>, child: Record<string, unknown>): Record<string, unknown>[] {
  const merged: Record<string, unknown> = { ...root };
  for (const [field, value] of Object.entries(child)) {
    const above = root[field];
    if (above === undefined || above === null) merged[field] = value;
    else if (field === "uri") {
      const prefix = objectOf(above).prefix, { exact, prefix: longer } = objectOf(value), own = exact ?? longer;
      if (typeof prefix !== "string" || typeof own !== "string" || !own.startsWith(prefix)) return [];
      merged[field] = value;
    } else if (isObject(above) && isObject(value)) {
      for (const key of Object.keys(value)) if (Object.hasOwn(above, key)) return [];
      merged[field] = { ...above, ...value };
    } else return [];
  }
  return [merged];
}
