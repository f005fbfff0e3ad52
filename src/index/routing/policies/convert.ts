// AuthorizationPolicy -> what an L7 proxy enforces. What nobody can read never makes a policy laxer: in ALLOW the part that holds it
// matches nothing, in DENY it is left out, so that the rest matches more (the same rules as for ztunnel, README of src/index).

import type { KubeObject } from "../../../kube/types.ts";
import type { L7Condition, L7Operation, L7PathMatch, L7Policy, L7Rule, L7Source } from "../../../model/l7.ts";
import { ipRange, port, serviceAccount, stringMatch } from "../../authorization/values.ts";
import { ANNOTATION } from "../../labels.ts";
import { isObject, listOf } from "../../read.ts";
import { Notes, shown } from "../notes.ts";

export interface ConvertedPolicy {
  readonly action: L7Policy["action"];
  readonly dryRun: boolean;
  readonly rules: readonly L7Rule[];
  readonly notes: Notes;
}

const read = new WeakMap<KubeObject, ConvertedPolicy>();

/** The rules of a policy, whoever it is for. */
export function convertL7Policy(object: KubeObject): ConvertedPolicy {
  let converted = read.get(object);
  if (!converted) read.set(object, converted = convert(object));
  return converted;
}

const SPEC_FIELDS = ["action", "provider", "rules", "selector", "targetRef", "targetRefs"];

function convert({ metadata, spec }: KubeObject): ConvertedPolicy {
  const fields = isObject(spec) ? spec : {}, notes = new Notes();
  const said = fields.action ?? "ALLOW", dryRun = metadata.annotations?.[ANNOTATION.dryRun] === "true";
  // What an external authorizer would say is not known: whatever it would be asked about is denied.
  const custom = said === "CUSTOM";
  if (custom) notes.add("action CUSTOM is not supported: requests that match its rules are denied");
  const known = said === "ALLOW" || said === "DENY" || said === "AUDIT" || custom;
  if (!known) notes.add(`cannot use action=${shown(said)}`);
  const unknown = unknownFields(fields);
  if (!custom && fields.provider !== undefined && fields.provider !== null) unknown.push("provider");
  for (const field of unknown) notes.add(`${field} is not supported`);
  if (spec !== undefined && spec !== null && !isObject(spec)) notes.add(`cannot use spec=${shown(spec)}`);
  const action = custom ? "DENY" : said === "DENY" || said === "AUDIT" ? said : "ALLOW";
  const converter = new Converter(action === "ALLOW" ? "ALLOW" : "DENY", metadata.namespace ?? "default", notes);
  const denyAll: L7Rule[] = action === "ALLOW" ? [] : [EVERYTHING];
  const broken = !known || unknown.length > 0 || notes.texts.some((text) => text.startsWith("cannot use spec"));
  return { action, dryRun: dryRun && !custom, rules: broken ? denyAll : converter.rules(fields.rules), notes };
}

/** Of the policy, its targets and its selector: what they restrict is not known. */
function unknownFields(spec: Record<string, unknown>): string[] {
  const of = (value: unknown, known: readonly string[], place: string) =>
    isObject(value) ? Object.keys(value).filter((field) => !known.includes(field)).map((field) => place + field) : [];
  const targets: [unknown, string][] = [
    [spec.targetRef, "targetRef."],
    ...listOf(spec.targetRefs).map((target, i): [unknown, string] => [target, `targetRefs[${i}].`]),
  ];
  return [
    ...of(spec, SPEC_FIELDS, ""),
    ...of(spec.selector, ["matchLabels"], "selector."),
    ...targets.flatMap(([target, place]) => of(target, ["group", "kind", "name", "namespace"], place)),
    ...of(spec.provider, ["name"], "provider."),
  ];
}

const EVERYTHING: L7Rule = Object.freeze({ from: [], to: [], when: [] });

/** How the values of a field are read. */
type Reader = (text: string) => unknown;

const path: Reader = (text): L7PathMatch | undefined => {
  if (!text.includes("{")) return stringMatch(text);
  // `{*}` and `{**}` stand for whole segments; `{**}` comes last but for plain segments.
  const segments = text.split("/");
  const good = segments.every((segment) => segment === "{*}" || segment === "{**}" || !/[{}*]/.test(segment)) &&
    segments.filter((segment) => segment === "{**}").length <= 1 && text.startsWith("/");
  return good ? { kind: "template", value: text } : undefined;
};

const OPERATION: Readonly<Record<string, Reader>> = {
  hosts: stringMatch,
  ports: port,
  methods: stringMatch,
  paths: path,
};

function sourceReaders(namespace: string): Readonly<Record<string, Reader>> {
  return {
    principals: stringMatch,
    requestPrincipals: stringMatch,
    namespaces: stringMatch,
    serviceAccounts: serviceAccount(namespace),
    ipBlocks: ipRange,
    remoteIpBlocks: ipRange,
  };
}

/** Keys of `when`, exact or by their beginning, and what their values must be. */
const CONDITIONS: readonly (readonly [key: string, reader: Reader])[] = [
  ["source.ip", ipRange],
  ["remote.ip", ipRange],
  ["destination.ip", ipRange],
  ["destination.port", port],
  ["source.namespace", stringMatch],
  ["source.principal", stringMatch],
  ["source.serviceAccount", stringMatch],
  ["connection.sni", stringMatch],
  ["request.auth.principal", stringMatch],
  ["request.auth.audiences", stringMatch],
  ["request.auth.presenter", stringMatch],
  ["request.auth.claims[", stringMatch],
  ["request.headers[", stringMatch],
];

function conditionReader(key: string): Reader | undefined {
  for (const [known, reader] of CONDITIONS) {
    if (
      known.endsWith("[") ? key.startsWith(known) && key.endsWith("]") && key.length > known.length + 1 : key === known
    ) {
      return reader;
    }
  }
  return undefined;
}

type Part<T> = T | "everything" | "nothing";

class Converter {
  constructor(readonly action: "ALLOW" | "DENY", readonly namespace: string, readonly notes: Notes) {}

  /** What stands for something that cannot be read. */
  get #unknown(): "everything" | "nothing" {
    return this.action === "ALLOW" ? "nothing" : "everything";
  }

  rules(value: unknown): L7Rule[] {
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value)) {
      this.notes.add(`cannot use rules=${shown(value)}`);
      return this.action === "ALLOW" ? [] : [EVERYTHING];
    }
    return value.flatMap((rule, i) => this.#rule(rule, `rules[${i}]`));
  }

  #rule(value: unknown, place: string): L7Rule[] {
    if (!isObject(value)) {
      this.notes.add(`cannot use ${place}=${shown(value)}`);
      return this.action === "ALLOW" ? [] : [EVERYTHING];
    }
    const rule: { from: readonly L7Source[]; to: readonly L7Operation[]; when: readonly L7Condition[] } = {
      ...EVERYTHING,
    };
    for (const [field, content] of Object.entries(value)) {
      if (content === undefined || content === null) continue;
      const at = `${place}.${field}`;
      let part: Part<readonly object[]>;
      if (field === "from") part = this.#alternatives(content, at, "source", sourceReaders(this.namespace));
      else if (field === "to") part = this.#alternatives(content, at, "operation", OPERATION);
      else if (field === "when") part = this.#conditions(content, at);
      else part = this.#cannot(`${at} is not supported`);
      if (part === "nothing") {
        this.notes.add(`${place} is left out`);
        return [];
      }
      if (part !== "everything") Object.assign(rule, { [field]: part });
    }
    return [rule];
  }

  #cannot(text: string): "everything" | "nothing" {
    this.notes.add(text);
    return this.#unknown;
  }

  /** `from` or `to`: any of its entries. */
  #alternatives(
    list: unknown,
    place: string,
    wrapper: string,
    readers: Readonly<Record<string, Reader>>,
  ): Part<readonly object[]> {
    if (!Array.isArray(list) || list.length === 0) return this.#cannot(`cannot use ${place}=${shown(list)}`);
    const parts = list.map((item, i): Part<object> => {
      const at = `${place}[${i}]`, fields = isObject(item) ? item[wrapper] : undefined;
      if (!isObject(item) || !isObject(fields) || Object.values(fields).every(isEmpty)) {
        return this.#cannot(`cannot use ${at}=${shown(item)}`);
      }
      const extra = Object.keys(item).filter((field) => field !== wrapper);
      const unknown = extra.map((field) => this.#cannot(`${at}.${field} is not supported`));
      return this.#fields(fields, `${at}.${wrapper}`, readers, unknown.length > 0);
    });
    if (parts.includes("everything")) return "everything";
    const real = parts.filter((part): part is object => typeof part === "object");
    return real.length > 0 ? real : "nothing";
  }

  #fields(
    fields: Record<string, unknown>,
    place: string,
    readers: Readonly<Record<string, Reader>>,
    incomplete: boolean,
  ): Part<object> {
    const result: Record<string, readonly unknown[]> = {};
    for (const [field, values] of Object.entries(fields)) {
      if (isEmpty(values)) continue;
      const negative = /^not[A-Z]/.test(field);
      const name = negative ? field[3].toLowerCase() + field.slice(4) : field;
      const reader = Object.hasOwn(readers, name) ? readers[name] : undefined;
      const good = reader ? this.#values(values, `${place}.${field}`, negative, reader) : undefined;
      if (!reader) this.notes.add(`${place}.${field} is not supported`);
      if (good) result[field] = good;
      else incomplete = true;
    }
    if (incomplete && this.action === "ALLOW") return "nothing";
    return Object.keys(result).length > 0 ? result : this.#unknown;
  }

  /** The values that can be read; undefined when leaving the others out would make the policy laxer, or none is left. */
  #values(values: unknown, place: string, negative: boolean, reader: Reader): unknown[] | undefined {
    if (!Array.isArray(values)) {
      this.notes.add(`cannot use ${place}=${shown(values)}`);
      return undefined;
    }
    const good: unknown[] = [];
    for (const [i, value] of values.entries()) {
      const result = typeof value === "string" && value.length <= 4096 ? reader(value) : undefined;
      if (result === undefined) this.notes.add(`cannot use ${place}[${i}]=${shown(value)}`);
      else good.push(result);
    }
    const safe = this.action === "ALLOW" ? !negative : negative;
    return good.length === values.length || (safe && good.length > 0) ? good : undefined;
  }

  /** `when`: all of its entries. */
  #conditions(list: unknown, place: string): Part<readonly L7Condition[]> {
    if (!Array.isArray(list)) return this.#cannot(`cannot use ${place}=${shown(list)}`);
    const result: L7Condition[] = [];
    for (const [i, item] of list.entries()) {
      const part = this.#condition(item, `${place}[${i}]`);
      if (part === "nothing") return "nothing";
      if (part !== "everything") result.push(part);
    }
    return result.length > 0 ? result : "everything";
  }

  #condition(item: unknown, place: string): Part<L7Condition> {
    const { key, values, notValues, ...rest } = isObject(item) ? item : {};
    const reader = typeof key === "string" ? conditionReader(key) : undefined;
    if (!reader || (isEmpty(values) && isEmpty(notValues))) return this.#cannot(`cannot use ${place}=${shown(item)}`);
    let incomplete = false;
    for (const field of Object.keys(rest)) {
      incomplete = true;
      this.notes.add(`${place}.${field} is not supported`);
    }
    const readable = (list: unknown, field: string, negative: boolean): string[] => {
      if (isEmpty(list)) return [];
      // Values stay texts: the check alone is wanted here.
      const good = this.#values(
        list,
        `${place}.${field}`,
        negative,
        (text) => reader(text) === undefined ? undefined : text,
      );
      if (!good) incomplete = true;
      return (good ?? []) as string[];
    };
    const condition = {
      key: key as string,
      values: readable(values, "values", false),
      notValues: readable(notValues, "notValues", true),
    };
    if (incomplete && this.action === "ALLOW") return "nothing";
    return condition.values.length + condition.notValues.length > 0 ? condition : this.#unknown;
  }
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0);
}
