// What consistent hashing hashes.

import type { ConsistentHash } from "../../model/mod.ts";
import { type FieldName, fieldName } from "../fields.ts";
import { hashText } from "./balancer/mod.ts";
import type { PickContext } from "./types.ts";

const COOKIE = fieldName("cookie");
const names = new WeakMap<ConsistentHash, FieldName>();

/**
 * Writes the request's hash to `context.hash`: that of the configured header, cookie, parameter or address, or a random one when
 * the request has none. A missing cookie is made up, and `context.setCookie` says what to tell the client.
 */
export function hashOf(config: ConsistentHash | undefined, context: PickContext, random: () => number): void {
  const text = config && textOf(config, context, random);
  context.hash = text === undefined ? Math.floor(random() * 2 ** 32) : hashText(text);
}

function textOf(config: ConsistentHash, context: PickContext, random: () => number): string | undefined {
  const { on } = config;
  if (on.kind === "sourceIp") return context.source?.address;
  const { head } = context;
  if (head === null) return undefined;
  if (on.kind === "query") return queryParameter(head.path, on.name);
  if (on.kind === "header") {
    let name = names.get(config);
    if (name === undefined) names.set(config, name = fieldName(on.name));
    return head.fields.get(name);
  }
  const found = cookieValue(head.fields.joined(COOKIE), on.name);
  if (found !== undefined) return found;
  const value = randomHex(random);
  const age = on.ttlSeconds > 0 ? `; Max-Age=${on.ttlSeconds}` : "";
  const path = on.path === "" ? "" : `; Path=${on.path}`;
  context.setCookie = `${on.name}="${value}"${age}${path}; HttpOnly`;
  return value;
}

function randomHex(random: () => number): string {
  const half = () => Math.floor(random() * 2 ** 32).toString(16).padStart(8, "0");
  return half() + half();
}

/** The value of a cookie, without its quotes. Several Cookie fields are joined by commas, several cookies by semicolons. */
export function cookieValue(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined;
  for (const part of header.split(/[;,]/)) {
    const equals = part.indexOf("=");
    if (equals < 0 || part.slice(0, equals).trim() !== name) continue;
    const value = part.slice(equals + 1).trim();
    return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
  }
  return undefined;
}

/** The first value of a query parameter, as it is written. */
export function queryParameter(path: string, name: string): string | undefined {
  const start = path.indexOf("?");
  if (start < 0) return undefined;
  for (const part of path.slice(start + 1).split("&")) {
    const equals = part.indexOf("=");
    if ((equals < 0 ? part : part.slice(0, equals)) === name) return equals < 0 ? "" : part.slice(equals + 1);
  }
  return undefined;
}
