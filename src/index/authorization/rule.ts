// One rule of an AuthorizationPolicy -> the clauses of the model (istiod-behaviour.md §4).

import type { PolicyAction, PolicyMatch } from "../../model/policy.ts";
import { type Clause, clauseOf, type FieldReader, MatchBuilder } from "./clause.ts";
import type { Findings } from "./findings.ts";
import { ipRange, port, serviceAccount, stringMatch } from "./values.ts";

interface Context {
  readonly action: PolicyAction;
  /** Of the policy. */
  readonly namespace: string;
  readonly findings: Findings;
}

type FieldRow = { readonly negative: boolean; readonly reader: FieldReader } | "http";

const strings = (to: keyof PolicyMatch): FieldReader => ({ to, read: stringMatch });
const ranges = (to: keyof PolicyMatch): FieldReader => ({ to, read: ipRange });

const OPERATION: Readonly<Record<string, FieldRow>> = {
  ports: { negative: false, reader: { to: "destinationPorts", read: port } },
  notPorts: { negative: true, reader: { to: "notDestinationPorts", read: port } },
  hosts: "http",
  notHosts: "http",
  methods: "http",
  notMethods: "http",
  paths: "http",
  notPaths: "http",
};

function sourceFields(namespace: string): Readonly<Record<string, FieldRow>> {
  const account = serviceAccount(namespace);
  return {
    ipBlocks: { negative: false, reader: ranges("sourceIps") },
    notIpBlocks: { negative: true, reader: ranges("notSourceIps") },
    namespaces: { negative: false, reader: strings("namespaces") },
    notNamespaces: { negative: true, reader: strings("notNamespaces") },
    principals: { negative: false, reader: strings("principals") },
    notPrincipals: { negative: true, reader: strings("notPrincipals") },
    serviceAccounts: { negative: false, reader: { to: "serviceAccounts", read: account } },
    notServiceAccounts: { negative: true, reader: { to: "notServiceAccounts", read: account } },
    remoteIpBlocks: "http",
    notRemoteIpBlocks: "http",
    requestPrincipals: "http",
    notRequestPrincipals: "http",
  };
}

/** Keys of `when` that L4 knows: where values and notValues go. */
const WHEN: Readonly<Record<string, readonly [FieldReader, FieldReader]>> = {
  "source.ip": [ranges("sourceIps"), ranges("notSourceIps")],
  "source.namespace": [strings("namespaces"), strings("notNamespaces")],
  "source.principal": [strings("principals"), strings("notPrincipals")],
  "destination.ip": [ranges("destinationIps"), ranges("notDestinationIps")],
  "destination.port": [{ to: "destinationPorts", read: port }, { to: "notDestinationPorts", read: port }],
};

/** Attributes of requests, by their beginning; any other key of `when` is unknown. */
const HTTP_KEYS = ["request.", "remote.ip", "connection.sni", "experimental.", "source.serviceAccount"];

/**
 * The clauses of a rule.
 *
 * @returns undefined when the rule must be left out, which happens to ALLOW alone
 */
export function convertRule(rule: unknown, place: string, context: Context): PolicyMatch[][] | undefined {
  const { findings, action } = context;
  const clauses: Clause[] = [], httpBefore = findings.httpCount;
  if (!isObject(rule)) {
    findings.value(place, rule);
    clauses.push(unknownPart(context));
  } else {
    for (const [field, value] of Object.entries(rule)) {
      const at = `${place}.${field}`;
      if (value === undefined || value === null) continue;
      if (field === "to") clauses.push(alternatives(value, at, "operation", OPERATION, context));
      else if (field === "from") {
        clauses.push(alternatives(value, at, "source", sourceFields(context.namespace), context));
      } else if (field === "when") clauses.push(...conditions(value, at, context));
      else {
        findings.field(at);
        clauses.push(unknownPart(context));
      }
    }
  }
  // Istio omits the whole rule for one HTTP attribute, even where another alternative of it could hold.
  if (clauses.includes("nothing") || (action === "ALLOW" && findings.httpCount > httpBefore)) {
    findings.omittedRules++;
    return undefined;
  }
  const kept = clauses.filter((clause): clause is readonly PolicyMatch[] => typeof clause === "object");
  if (kept.length === 0 && clauses.length > 0) findings.deniesAll = true;
  return kept.map((matches) => [...matches]);
}

/** A constraint that nobody can make sense of. */
function unknownPart({ action, findings }: Context): Clause {
  findings.widened ||= action === "DENY";
  return action === "ALLOW" ? "nothing" : "everything";
}

/** `to` or `from`: a list of alternatives, each an object with one field that holds the constraints. */
function alternatives(
  list: unknown,
  place: string,
  wrapper: string,
  fields: Readonly<Record<string, FieldRow>>,
  context: Context,
): Clause {
  const { action, findings } = context;
  if (!Array.isArray(list) || list.length === 0) {
    findings.value(place, list);
    return unknownPart(context);
  }
  return clauseOf(list.map((item, i) => {
    const at = `${place}[${i}]`, builder = new MatchBuilder(action, findings);
    if (!isObject(item) || !isObject(item[wrapper]) || Object.values(item[wrapper]).every(isEmpty)) {
      findings.value(at, item);
      builder.incomplete();
      return builder.build();
    }
    for (const extra of Object.keys(item)) {
      if (extra === wrapper) continue;
      findings.field(`${at}.${extra}`);
      builder.incomplete();
    }
    for (const [field, values] of Object.entries(item[wrapper])) {
      const row = Object.hasOwn(fields, field) ? fields[field] : undefined;
      if (isEmpty(values)) continue;
      if (row === undefined) {
        findings.field(`${at}.${wrapper}.${field}`);
        builder.incomplete();
      } else if (row === "http") {
        findings.httpAttribute(field);
        builder.incomplete();
      } else builder.field(`${at}.${wrapper}.${field}`, values, row.negative, row.reader);
    }
    return builder.build();
  }));
}

/** `when`: each condition is a clause of its own. */
function conditions(list: unknown, place: string, context: Context): Clause[] {
  const { action, findings } = context;
  if (!Array.isArray(list)) {
    findings.value(place, list);
    return [unknownPart(context)];
  }
  return list.map((condition, i) => {
    const at = `${place}[${i}]`, builder = new MatchBuilder(action, findings);
    const { key, values, notValues } = isObject(condition) ? condition : {};
    if (!isObject(condition) || typeof key !== "string" || (isEmpty(values) && isEmpty(notValues))) {
      findings.value(at, condition);
      builder.incomplete();
      return clauseOf([builder.build()]);
    }
    for (const field of Object.keys(condition)) {
      if (["key", "values", "notValues"].includes(field)) continue;
      findings.field(`${at}.${field}`);
      builder.incomplete();
    }
    if (Object.hasOwn(WHEN, key)) {
      const [positive, negative] = WHEN[key];
      builder.field(`${at}.values`, values, false, positive);
      builder.field(`${at}.notValues`, notValues, true, negative);
    } else {
      if (HTTP_KEYS.some((prefix) => key.startsWith(prefix))) findings.httpAttribute(key);
      else findings.value(`${at}.key`, key);
      builder.incomplete();
    }
    return clauseOf([builder.build()]);
  });
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
