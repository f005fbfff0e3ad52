// The string and address conditions of L7 policies, compiled.

import { type Cidr, inCidr, type IpBits, parseCidr } from "../core/ip.ts";
import type { IpRange, StringMatch } from "../model/mod.ts";

export type TextPredicate = (text: string) => boolean;

/** One of several conditions on a text; presence asks for a text that is not empty. */
export function anyOf(values: readonly StringMatch[]): TextPredicate {
  const exact = new Set<string>(), tests: TextPredicate[] = [];
  for (const value of values) {
    if (value.kind === "exact") exact.add(value.value);
    else if (value.kind === "prefix") tests.push((text) => text.startsWith(value.value));
    else if (value.kind === "suffix") tests.push((text) => text.endsWith(value.value));
    else tests.push((text) => text !== "");
  }
  if (tests.length === 0) {
    if (exact.size === 1) {
      const [only] = exact;
      return (text) => text === only;
    }
    return (text) => exact.has(text);
  }
  if (tests.length === 1 && exact.size === 0) return tests[0];
  return (text) => exact.has(text) || tests.some((test) => test(text));
}

/** The `*` notation of `when` values: `*` presence, `abc*` prefix, `*abc` suffix. */
export function parseStringMatch(text: string): StringMatch {
  if (text === "*") return { kind: "presence" };
  if (text.startsWith("*")) return { kind: "suffix", value: text.slice(1) };
  if (text.endsWith("*")) return { kind: "prefix", value: text.slice(0, -1) };
  return { kind: "exact", value: text };
}

/** Folds a condition to lower case, for names that compare without case. */
export function foldCase(match: StringMatch): StringMatch {
  return match.kind === "presence" ? match : { kind: match.kind, value: match.value.toLowerCase() };
}

export type AddressPredicate = (ip: IpBits | undefined) => boolean;

/** @returns undefined when a range cannot be read */
export function anyRange(values: readonly IpRange[]): AddressPredicate | undefined {
  const ranges: Cidr[] = [];
  for (const { address, length } of values) {
    const range = parseCidr(address, length);
    if (!range) return undefined;
    ranges.push(range);
  }
  return (ip) => {
    if (ip === undefined) return false;
    for (let i = 0; i < ranges.length; i++) if (inCidr(ip, ranges[i])) return true;
    return false;
  };
}

/** `10.0.0.0/8`, `10.1.2.3`, `fd00::/8`. */
export function parseRange(text: string): IpRange | undefined {
  const slash = text.indexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  const whole = address.includes(":") ? 128 : 32;
  const length = slash < 0 ? whole : /^\d{1,3}$/.test(text.slice(slash + 1)) ? Number(text.slice(slash + 1)) : -1;
  return parseCidr(address, length) ? { address, length } : undefined;
}
