// Whether a server's certificate, whose chain TLS has verified, is for the name that we went to (RFC 6125, RFC 9525).

import { MeshError } from "../../core/errors.ts";
import { formatIp, parseIp } from "../../core/ip.ts";
import { type AltNames, altNames, parseCertificate } from "../../identity/certificate.ts";
import type { Destination } from "../../model/mod.ts";

/** The name sent as SNI; "" for addresses, which are none. */
export function sniOf(destination: Pick<Destination, "tls" | "hostname">): string {
  const name = destination.tls?.sni || destination.hostname;
  return parseIp(name) || name.startsWith("*") ? "" : name;
}

/**
 * Checks the certificate against the destination's `subjectAltNames`, or against the name it is reached by when there are none.
 *
 * @returns why it does not do, or undefined
 */
export function serverNameProblem(
  leafDer: Uint8Array,
  destination: Pick<Destination, "tls" | "hostname">,
): string | undefined {
  const { tls } = destination;
  if (tls === undefined || tls.insecureSkipVerify) return undefined;
  const wanted = tls.subjectAltNames.length > 0 ? tls.subjectAltNames : [tls.sni || destination.hostname];
  let names: AltNames;
  try {
    names = altNames(parseCertificate(leafDer).extensions);
  } catch (thrown) {
    if (thrown instanceof MeshError) return "its certificate cannot be read";
    throw thrown;
  }
  if (wanted.some((name) => certifies(names, name))) return undefined;
  const found = [...names.dns, ...names.uris, ...names.ips.map(ipText)];
  return `its certificate is for "${found.slice(0, 10).join('", "')}", expected "${wanted.join('" or "')}"`;
}

/** Whether a certificate with these names speaks for `name`: a DNS name, a URI or an address. */
export function certifies(names: AltNames, name: string): boolean {
  if (name.includes("://")) return names.uris.includes(name);
  const ip = parseIp(name);
  if (ip) return names.ips.some((bytes) => ipText(bytes) === formatIp(ip));
  return names.dns.some((pattern) => covers(pattern.toLowerCase(), name.toLowerCase()));
}

/** A wildcard stands for one whole label, the first. */
function covers(pattern: string, name: string): boolean {
  if (!pattern.startsWith("*.")) return pattern === name;
  const dot = name.indexOf(".");
  // `*.com` certifies nobody.
  return dot > 0 && name.slice(dot) === pattern.slice(1) && pattern.indexOf(".", 2) > 0;
}

function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) return "";
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((bytes[i] << 8 | bytes[i + 1]).toString(16));
  const ip = parseIp(groups.join(":"));
  return ip ? formatIp(ip) : "";
}
