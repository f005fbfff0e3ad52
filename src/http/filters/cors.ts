// Cross-origin resource sharing, as Envoy's filter does it.

import type { CorsPolicy } from "../../model/mod.ts";
import { fieldName, type Fields } from "../fields.ts";
import type { RequestHead } from "../message.ts";
import { TextTest } from "../match/mod.ts";

const ORIGIN = fieldName("origin");
const REQUEST_METHOD = fieldName("access-control-request-method");
const REQUEST_HEADERS = fieldName("access-control-request-headers");
const ALLOW_ORIGIN = fieldName("access-control-allow-origin");
const ALLOW_METHODS = fieldName("access-control-allow-methods");
const ALLOW_HEADERS = fieldName("access-control-allow-headers");
const ALLOW_CREDENTIALS = fieldName("access-control-allow-credentials");
const EXPOSE_HEADERS = fieldName("access-control-expose-headers");
const MAX_AGE = fieldName("access-control-max-age");

/** What a request's Origin means for a route. */
export const enum CorsOutcome {
  /** No origin, or one that is not allowed: nothing is added. */
  None,
  /** An allowed origin: {@linkcode CompiledCors.decorate} the response. */
  Allowed,
  /** A preflight to be answered here, with {@linkcode CompiledCors.preflight}. */
  Preflight,
  /** A preflight of another origin that is answered here without CORS headers. */
  Refused,
}

/** A {@linkcode CorsPolicy} ready to be applied. */
export class CompiledCors {
  readonly #policy: CorsPolicy;
  readonly #origins: readonly ((origin: string) => boolean)[];
  readonly #methods: string;
  readonly #headers: string;
  readonly #expose: string;

  constructor(policy: CorsPolicy) {
    this.#policy = policy;
    this.#origins = policy.allowOrigins.map((match) => {
      if (match.kind === "wildcard") return wildcard(match.value);
      const test = new TextTest(match);
      return (origin: string) => test.matches(origin);
    });
    this.#methods = policy.allowMethods.join(",");
    this.#headers = policy.allowHeaders.join(",");
    this.#expose = policy.exposeHeaders.join(",");
  }

  judge(head: RequestHead): CorsOutcome {
    const origin = head.fields.get(ORIGIN);
    if (origin === undefined || origin === "") return CorsOutcome.None;
    const preflight = head.method === "OPTIONS" && head.fields.has(REQUEST_METHOD);
    if (this.#origins.some((test) => test(origin))) return preflight ? CorsOutcome.Preflight : CorsOutcome.Allowed;
    return preflight && this.#policy.unmatchedPreflights === "IGNORE" ? CorsOutcome.Refused : CorsOutcome.None;
  }

  /** Fields of the answer to a preflight. Envoy's filter has its turn at that answer too, so it tells `expose` as any other. */
  preflight(head: RequestHead, fields: Fields): void {
    const { allowCredentials, maxAgeSeconds } = this.#policy;
    fields.set(ALLOW_ORIGIN, head.fields.get(ORIGIN)!);
    if (allowCredentials) fields.set(ALLOW_CREDENTIALS, "true");
    // Browsers take `*` literally when credentials are sent: say what was asked for instead.
    const methods = this.#methods === "*" && allowCredentials ? head.fields.get(REQUEST_METHOD)! : this.#methods;
    if (methods !== "") fields.set(ALLOW_METHODS, methods);
    const asked = head.fields.joined(REQUEST_HEADERS) ?? "";
    const headers = this.#headers === "*" && allowCredentials ? asked : this.#headers;
    if (headers !== "") fields.set(ALLOW_HEADERS, headers);
    if (this.#expose !== "") fields.set(EXPOSE_HEADERS, this.#expose);
    if (maxAgeSeconds !== undefined) fields.set(MAX_AGE, String(maxAgeSeconds));
  }

  /** Adds to the response of an allowed origin's request. */
  decorate(origin: string, fields: Fields): void {
    fields.set(ALLOW_ORIGIN, origin);
    if (this.#policy.allowCredentials) fields.set(ALLOW_CREDENTIALS, "true");
    if (this.#expose !== "") fields.set(EXPOSE_HEADERS, this.#expose);
  }
}

/** `*` stands for any text, as in Gateway API's origins (`https://*.example.com`); compares in linear time. */
function wildcard(pattern: string): (origin: string) => boolean {
  if (pattern === "*") return () => true;
  const folded = pattern.toLowerCase(), star = folded.indexOf("*");
  if (star < 0) return (origin) => origin.toLowerCase() === folded;
  const before = folded.slice(0, star), after = folded.slice(star + 1);
  return (origin) => {
    const text = origin.toLowerCase();
    return text.length > before.length + after.length && text.startsWith(before) && text.endsWith(after);
  };
}
