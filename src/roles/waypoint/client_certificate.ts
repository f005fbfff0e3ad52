// A client's certificate as `x-forwarded-client-cert` and policies want it.

import { createHash } from "node:crypto";
import { MeshError } from "../../core/errors.ts";
import type { ClientCertificate } from "../../http/exchange/mod.ts";
import { altNames, parseCertificate } from "../../identity/certificate.ts";
import { content, DerCursor, readOid, readWhole, TAG } from "../../identity/der.ts";

/** Short names of attribute types (RFC 4514, 3). */
const ATTRIBUTES: Readonly<Record<string, string>> = {
  "2.5.4.3": "CN",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.9": "STREET",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "0.9.2342.19200300.100.1.25": "DC",
};

/** What a verified certificate says; undefined where there is none or it cannot be read. */
export function clientCertificate(der: Uint8Array): ClientCertificate | undefined {
  if (der.length === 0) return undefined;
  try {
    const certificate = parseCertificate(der);
    const { uris, dns } = altNames(certificate.extensions);
    return {
      sha256: createHash("sha256").update(der).digest("hex"),
      subject: subjectText(certificate.subject),
      uris,
      dnsNames: dns,
    };
  } catch (cause) {
    if (cause instanceof MeshError) return undefined;
    throw cause;
  }
}

/** `CN=a,O=b`: the last attribute first, as RFC 2253 has it. */
export function subjectText(der: Uint8Array): string {
  const names: string[] = [];
  const sets = new DerCursor(readWhole(der, TAG.SEQUENCE));
  while (!sets.done) {
    const set = new DerCursor(sets.expect(TAG.SET));
    const parts: string[] = [];
    while (!set.done) {
      const pair = new DerCursor(set.expect(TAG.SEQUENCE));
      const type = readOid(pair.expect(TAG.OID));
      const value = new TextDecoder().decode(content(pair.next()));
      parts.push(`${ATTRIBUTES[type] ?? type}=${escaped(value)}`);
    }
    names.push(parts.join("+"));
  }
  return names.reverse().join(",");
}

/** RFC 4514, 2.4; control characters are dropped, for the text goes into a header. */
function escaped(value: string): string {
  // deno-lint-ignore no-control-regex
  return value.replace(/[\x00-\x1f\x7f]/g, "").replace(/[",+<>;\\]/g, "\\$&").replace(/^[ #]| $/g, "\\$&");
}
