// Builds and signs X.509 v3 certificates.

import { createHash, createPublicKey, type KeyObject, randomBytes } from "node:crypto";
import { parseIp } from "../core/ip.ts";
import { type Certificate, OID } from "./certificate.ts";
import { content, DerCursor, readWhole, TAG } from "./der.ts";
import {
  bitString,
  boolean,
  element,
  integer,
  octetString,
  oid,
  sequence,
  set,
  tagged,
  time,
  utf8String,
} from "./der_write.ts";
import { signingAlgorithm } from "./signature.ts";

/** keyUsage bits as RFC 5280 numbers them. */
const USAGE = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5, cRLSign: 6 } as const;

export type AltName = { readonly uri: string } | { readonly dns: string } | { readonly ip: string };

/** What stands in a certificate. */
export interface CertificateTemplate {
  /** DER Name; {@linkcode EMPTY_NAME} for a workload. */
  readonly subject: Uint8Array;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** CA certificates may sign; others serve and call. */
  readonly ca: boolean;
  readonly names: readonly AltName[];
  /** Whether the subjectAltName extension is critical. */
  readonly namesCritical: boolean;
}

export interface Signer {
  readonly subject: Uint8Array;
  readonly keyId: Uint8Array;
  readonly key: KeyObject;
}

/** A Name without parts. */
export const EMPTY_NAME: Uint8Array = sequence();

/** A Name of one organization or common name. */
export function nameOf(part: { organization: string } | { commonName: string }): Uint8Array {
  const [type, text] = "organization" in part
    ? [OID.ORGANIZATION, part.organization]
    : [OID.COMMON_NAME, part.commonName];
  return sequence(set(sequence(oid(type), utf8String(text))));
}

/** The subject key identifier of a certificate, or what it would be when there is none (RFC 5280 §4.2.1.2, method 1). */
export function keyIdOf(certificate: Certificate): Uint8Array {
  const extension = certificate.extensions.get(OID.SUBJECT_KEY_ID);
  return extension ? content(readWhole(extension.value, TAG.OCTET_STRING)) : keyIdOfPublicKey(certificate.publicKey);
}

function keyIdOfPublicKey(spki: Uint8Array): Uint8Array {
  const parts = new DerCursor(readWhole(spki, TAG.SEQUENCE));
  parts.next();
  return new Uint8Array(createHash("sha1").update(content(parts.next()).subarray(1)).digest());
}

/** The SubjectPublicKeyInfo that belongs to a private key. */
export function publicKeyOf(key: KeyObject): Uint8Array {
  return new Uint8Array(createPublicKey(key).export({ type: "spki", format: "der" }));
}

/** Signs a certificate; `signer` undefined makes it self-signed with `selfKey`. Serials are 127 random bits. */
export function signCertificate(template: CertificateTemplate, signer: Signer): Uint8Array {
  const algorithm = signingAlgorithm(signer.key);
  const tbs = sequence(
    tagged(0, true, integer(2n)),
    integer(randomSerial()),
    algorithm.identifier,
    signer.subject,
    sequence(time(template.notBefore), time(template.notAfter)),
    template.subject,
    template.publicKey,
    tagged(3, true, sequence(...extensionsOf(template, signer))),
  );
  return sequence(tbs, algorithm.identifier, bitString(algorithm.sign(tbs)));
}

/** Signs a root's certificate with its own key. */
export function selfSign(template: CertificateTemplate, key: KeyObject): Uint8Array {
  return signCertificate(template, { subject: template.subject, keyId: keyIdOfPublicKey(template.publicKey), key });
}

function randomSerial(): bigint {
  const bytes = randomBytes(16);
  bytes[0] &= 0x7f;
  return BigInt(`0x${bytes.toString("hex")}`) || 1n;
}

function extensionsOf(template: CertificateTemplate, signer: Signer): Uint8Array[] {
  const extension = (id: string, critical: boolean, value: Uint8Array) =>
    critical ? sequence(oid(id), boolean(true), octetString(value)) : sequence(oid(id), octetString(value));
  const usage = template.ca ? [USAGE.keyCertSign, USAGE.cRLSign] : [USAGE.digitalSignature, USAGE.keyEncipherment];
  const all = [
    extension(OID.KEY_USAGE, true, keyUsage(usage)),
    extension(OID.BASIC_CONSTRAINTS, true, template.ca ? sequence(boolean(true)) : sequence()),
    extension(OID.AUTHORITY_KEY_ID, false, sequence(tagged(0, false, signer.keyId))),
  ];
  if (template.ca) all.push(extension(OID.SUBJECT_KEY_ID, false, octetString(keyIdOfPublicKey(template.publicKey))));
  else all.push(extension(OID.EXT_KEY_USAGE, false, sequence(oid(OID.SERVER_AUTH), oid(OID.CLIENT_AUTH))));
  if (template.names.length > 0) {
    all.push(extension(OID.SUBJECT_ALT_NAME, template.namesCritical, sequence(...template.names.map(generalName))));
  }
  return all;
}

function keyUsage(bits: readonly number[]): Uint8Array {
  const byte = bits.reduce((sum, bit) => sum | (0x80 >>> bit), 0);
  return bitString(Uint8Array.of(byte), 7 - Math.max(...bits));
}

function generalName(name: AltName): Uint8Array {
  if ("uri" in name) return element(0x86, new TextEncoder().encode(name.uri));
  if ("dns" in name) return element(0x82, new TextEncoder().encode(name.dns));
  const ip = parseIp(name.ip);
  const bytes = (ip?.words ?? []).flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]);
  return element(0x87, Uint8Array.from(bytes));
}
