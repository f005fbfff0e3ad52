// Readers of the values that policies hold. Each returns undefined for what it cannot read: the caller decides what is safe then.

import { formatIp, parseCidr, parseIp } from "../../core/ip.ts";
import type { IpRange, ServiceAccountMatch, StringMatch } from "../../model/policy.ts";

/** `*` any value, `*x` a suffix, `x*` a prefix, else the whole. */
export function stringMatch(text: string): StringMatch | undefined {
  if (text === "") return undefined;
  if (text === "*") return { kind: "presence" };
  if (text.startsWith("*")) return { kind: "suffix", value: text.slice(1) };
  if (text.endsWith("*")) return { kind: "prefix", value: text.slice(0, -1) };
  return { kind: "exact", value: text };
}

/** An address or a range. */
export function ipRange(text: string): IpRange | undefined {
  const cut = text.indexOf("/");
  const address = cut < 0 ? text : text.slice(0, cut), ip = parseIp(address);
  if (!ip) return undefined;
  if (cut < 0) return { address: formatIp(ip), length: ip.words.length * 32 };
  const digits = text.slice(cut + 1);
  const cidr = /^\d{1,3}$/.test(digits) ? parseCidr(address, Number(digits)) : undefined;
  return cidr && { address: formatIp(cidr.ip), length: cidr.length };
}

export function port(text: string): number | undefined {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  return value >= 1 && value <= 65535 ? value : undefined;
}

/** `name`, in the policy's own namespace, or `namespace/name`. */
export function serviceAccount(namespace: string): (text: string) => ServiceAccountMatch | undefined {
  return (text) => {
    const parts = text.split("/");
    if (parts.length > 2 || parts.includes("") || text.includes("*")) return undefined;
    return parts.length === 1
      ? { namespace, serviceAccount: parts[0] }
      : { namespace: parts[0], serviceAccount: parts[1] };
  };
}
