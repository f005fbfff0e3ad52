import { ApiError } from "../api_error.ts";
import type { KubeObject } from "../contracts.ts";
import { labelValueProblem, qualifiedNameProblem } from "./names.ts";

/** Whether an object passes a filter. */
export type Predicate = (object: KubeObject) => boolean;

const SELECTOR_LIMIT = 64 * 1024;
const CACHE_LIMIT = 500;
const cache = new Map<string, Predicate>();

/**
 * Parses a label selector: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
 *
 * @throws {ApiError} 400 where the text is not a selector
 */
export function parseLabelSelector(text: string): Predicate {
  const known = cache.get(text);
  if (known) return known;
  if (text.length > SELECTOR_LIMIT) {
    throw ApiError.badRequest("unable to parse requirement: the label selector is too long");
  }
  const tests = new LabelSelectorParser(text).parse();
  const predicate: Predicate = (object) => {
    const labels = object.metadata.labels ?? {};
    return tests.every((test) => test(labels));
  };
  if (cache.size >= CACHE_LIMIT) cache.clear();
  cache.set(text, predicate);
  return predicate;
}

type LabelTest = (labels: Record<string, string>) => boolean;

class LabelSelectorParser {
  #tokens: string[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = text.match(/==|!=|[=!<>(),]|[^\s=!<>(),]+/g) ?? [];
  }

  parse(): LabelTest[] {
    const tests: LabelTest[] = [];
    while (this.#at < this.#tokens.length) {
      tests.push(this.#requirement());
      if (this.#at >= this.#tokens.length) break;
      this.#expect(",");
      if (this.#at >= this.#tokens.length) throw this.#bad("found '', expected: identifier after ','");
    }
    return tests;
  }

  #requirement(): LabelTest {
    let token = this.#next();
    if (token === "!") {
      const key = this.#key(this.#next());
      return (labels) => !Object.hasOwn(labels, key);
    }
    const key = this.#key(token);
    token = this.#peek();
    switch (token) {
      case undefined:
      case ",":
        return (labels) => Object.hasOwn(labels, key);
      case "=":
      case "==": {
        this.#next();
        const value = this.#value();
        return (labels) => Object.hasOwn(labels, key) && labels[key] === value;
      }
      case "!=": {
        this.#next();
        const value = this.#value();
        return (labels) => !Object.hasOwn(labels, key) || labels[key] !== value;
      }
      case "<":
      case ">": {
        this.#next();
        const value = this.#value();
        if (!/^-?\d+$/.test(value)) throw this.#bad(`for 'Gt', 'Lt' operators, the value must be an integer`);
        const wanted = Number(value);
        return (labels) => {
          if (!Object.hasOwn(labels, key) || !/^-?\d+$/.test(labels[key])) return false;
          return token === "<" ? Number(labels[key]) < wanted : Number(labels[key]) > wanted;
        };
      }
      case "in":
      case "notin": {
        this.#next();
        const values = this.#values();
        return token === "in"
          ? (labels) => Object.hasOwn(labels, key) && values.has(labels[key])
          : (labels) => !Object.hasOwn(labels, key) || !values.has(labels[key]);
      }
      default:
        throw this.#bad(`found '${token}', expected: in, notin, =, ==, !=, gt, lt`);
    }
  }

  #values(): Set<string> {
    this.#expect("(");
    const values = new Set<string>();
    while (true) {
      const token = this.#peek();
      if (token === ")" || token === ",") values.add("");
      else {
        this.#next();
        this.#checkValue(token ?? "");
        values.add(token ?? "");
      }
      const end = this.#next();
      if (end === ")") return values;
      if (end !== ",") throw this.#bad(`found '${end ?? ""}', expected: ',' or ')'`);
    }
  }

  #value(): string {
    const token = this.#peek();
    if (token === undefined || token === ",") return "";
    this.#next();
    this.#checkValue(token);
    return token;
  }

  #checkValue(value: string): void {
    const problem = labelValueProblem(value);
    if (problem) {
      throw ApiError.badRequest(
        `unable to parse requirement: values[0][]: Invalid value: ${JSON.stringify(value)}: ${problem}`,
      );
    }
  }

  #key(token: string | undefined): string {
    if (token === undefined || /^[=!<>(),]/.test(token)) {
      throw this.#bad(`found '${token ?? ""}', expected: !, identifier, or 'end of string'`);
    }
    const problem = qualifiedNameProblem(token);
    if (problem) {
      throw ApiError.badRequest(
        `unable to parse requirement: <nil>: Invalid value: ${JSON.stringify(token)}: ${problem}`,
      );
    }
    return token;
  }

  #peek(): string | undefined {
    return this.#tokens[this.#at];
  }

  #next(): string | undefined {
    return this.#tokens[this.#at++];
  }

  #expect(wanted: string): void {
    const token = this.#next();
    if (token !== wanted) throw this.#bad(`found '${token ?? ""}', expected: '${wanted}'`);
  }

  #bad(detail: string): ApiError {
    return ApiError.badRequest(`unable to parse requirement: ${detail}`);
  }
}

/** Fields that selectors may name, beside metadata.name and metadata.namespace, by `group/plural`. */
const SELECTABLE: Record<string, string[]> = {
  "/pods": [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
  ],
  "/events": [
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
  ],
  "/nodes": ["spec.unschedulable"],
  "/namespaces": ["status.phase"],
  "/secrets": ["type"],
  "/services": ["spec.clusterIP", "spec.type"],
  "/replicationcontrollers": ["status.replicas"],
  "apps/replicasets": ["status.replicas"],
  "batch/jobs": ["status.successful"],
  "certificates.k8s.io/certificatesigningrequests": ["spec.signerName"],
};

/**
 * Parses a field selector: `status.phase=Running,spec.nodeName!=a`.
 *
 * @param selectable fields that a CustomResourceDefinition declares, in addition
 * @throws {ApiError} 400 where it is malformed or names a field that the type does not offer
 */
export function parseFieldSelector(key: string, kind: string, text: string, selectable: string[] = []): Predicate {
  if (text.length > SELECTOR_LIMIT) throw ApiError.badRequest("the field selector is too long");
  const tests: Predicate[] = [];
  for (const term of splitEscaped(text)) {
    if (term === "") continue;
    const match = /^([^=!]*)(==|!=|=)(.*)$/s.exec(term);
    if (!match) {
      throw ApiError.badRequest(
        `unable to find "" that matches the label selector "", field selector "${text}": invalid selector: '${term}'; can't understand '${term}'`,
      );
    }
    const [, path, operator, raw] = match;
    const known = path === "metadata.name" || path === "metadata.namespace" || SELECTABLE[key]?.includes(path) ||
      selectable.includes(path);
    if (!known) throw ApiError.badRequest(`field label not supported: ${path}`);
    const value = raw.replace(/\\(.)/gs, "$1");
    tests.push((object) => (fieldText(object, path) === value) === (operator !== "!="));
  }
  void kind;
  return (object) => tests.every((test) => test(object));
}

function splitEscaped(text: string): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === ",") {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

function fieldText(object: KubeObject, path: string): string {
  if (path === "source") return object.source?.component ?? object.reportingComponent ?? "";
  let value: any = object;
  for (const part of path.split(".")) value = value?.[part];
  if (value === undefined || value === null) {
    return path === "spec.unschedulable" || path === "spec.hostNetwork" ? "false" : "";
  }
  return String(value);
}
