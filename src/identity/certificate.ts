// What the mesh reads from an X.509 certificate (RFC 5280), from its DER, without a certificate library: ztunnel does this for
// every connection.

import { MeshError } from "../core/errors.ts";
import { parseSpiffeId, type SpiffeId } from "../model/identity.ts";
import {
  content,
  DerCursor,
  type DerErrorCode,
  type Element,
  raw,
  readAscii,
  readBits,
  readBoolean,
  readInteger,
  readOid,
  readTime,
  readWhole,
  TAG,
} from "./der.ts";

/** Certificates longer than this are not read: real ones are 0.5 to 4 KiB. */
export const MAX_CERTIFICATE_BYTES = 64 * 1024;

export const OID = {
  COMMON_NAME: "2.5.4.3",
  ORGANIZATION: "2.5.4.10",
  SUBJECT_KEY_ID: "2.5.29.14",
  KEY_USAGE: "2.5.29.15",
  SUBJECT_ALT_NAME: "2.5.29.17",
  BASIC_CONSTRAINTS: "2.5.29.19",
  AUTHORITY_KEY_ID: "2.5.29.35",
  EXT_KEY_USAGE: "2.5.29.37",
  SERVER_AUTH: "1.3.6.1.5.5.7.3.1",
  CLIENT_AUTH: "1.3.6.1.5.5.7.3.2",
  EXTENSION_REQUEST: "1.2.840.113549.1.9.14",
} as const;

export interface Extension {
  readonly critical: boolean;
  /** The DER inside the OCTET STRING. */
  readonly value: Uint8Array;
}

/** Subject alternative names by kind, in the order of the certificate. */
export interface AltNames {
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  /** IP addresses as 4 or 16 bytes. */
  readonly ips: readonly Uint8Array[];
}

/** The parts of a certificate; byte arrays are views of the DER it was parsed from. */
export interface Certificate {
  readonly der: Uint8Array;
  /** What the signature covers. */
  readonly tbs: Uint8Array;
  readonly serial: bigint;
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  readonly extensions: ReadonlyMap<string, Extension>;
  readonly signatureAlgorithm: string;
  readonly signature: Uint8Array;
}

const context = (tag: number, constructed = true) => 0x80 | (constructed ? 0x20 : 0) | tag;

/**
 * Parses one certificate. Its signature is not checked here.
 *
 * @throws MeshError `invalid_der`
 */
export function parseCertificate(der: Uint8Array): Certificate {
  if (der.length > MAX_CERTIFICATE_BYTES) {
    throw new MeshError<DerErrorCode>("invalid_der", `cannot read a certificate of ${der.length} bytes: too long`, {
      source: "downstream",
    });
  }
  const outer = new DerCursor(readWhole(der, TAG.SEQUENCE));
  const tbsElement = outer.expect(TAG.SEQUENCE);
  const algorithm = new DerCursor(outer.expect(TAG.SEQUENCE));
  const signature = readBits(outer.expect(TAG.BIT_STRING));
  outer.end();

  const tbs = new DerCursor(tbsElement);
  tbs.optional(context(0));
  const serial = readInteger(tbs.expect(TAG.INTEGER));
  tbs.expect(TAG.SEQUENCE);
  const issuer = raw(tbs.expect(TAG.SEQUENCE));
  const validity = new DerCursor(tbs.expect(TAG.SEQUENCE));
  const notBefore = readTime(validity.next()), notAfter = readTime(validity.next());
  validity.end();
  const subject = raw(tbs.expect(TAG.SEQUENCE));
  const publicKey = raw(tbs.expect(TAG.SEQUENCE));
  tbs.optional(context(1, false));
  tbs.optional(context(2, false));
  const wrapped = tbs.optional(context(3));
  tbs.end();
  let extensions: ReadonlyMap<string, Extension> = new Map();
  if (wrapped) {
    const inside = new DerCursor(wrapped);
    extensions = readExtensions(inside.expect(TAG.SEQUENCE));
    inside.end();
  }
  return {
    der,
    tbs: raw(tbsElement),
    serial,
    issuer,
    subject,
    notBefore,
    notAfter,
    publicKey,
    extensions,
    signatureAlgorithm: readOid(algorithm.next()),
    signature,
  };
}

/**
 * Extensions by object identifier. Each may occur once (RFC 5280 §4.2): with two SANs, two readers could see two identities.
 *
 * @throws MeshError `invalid_der`
 */
export function readExtensions(list: Element): Map<string, Extension> {
  const found = new Map<string, Extension>();
  for (const cursor = new DerCursor(list); !cursor.done;) {
    const extension = new DerCursor(cursor.expect(TAG.SEQUENCE));
    const oid = readOid(extension.next());
    const flag = extension.optional(TAG.BOOLEAN);
    const value = content(extension.expect(TAG.OCTET_STRING));
    extension.end();
    if (found.has(oid)) {
      throw new MeshError<DerErrorCode>("invalid_der", `cannot read a certificate with extension "${oid}" twice`);
    }
    found.set(oid, { critical: flag !== undefined && readBoolean(flag), value });
  }
  return found;
}

const NO_NAMES: AltNames = { uris: [], dns: [], ips: [] };

/** The subject alternative names of a certificate or CSR; kinds other than URI, DNS and IP are passed over. */
export function altNames(extensions: ReadonlyMap<string, Extension>): AltNames {
  const extension = extensions.get(OID.SUBJECT_ALT_NAME);
  if (!extension) return NO_NAMES;
  const uris: string[] = [], dns: string[] = [], ips: Uint8Array[] = [];
  for (const cursor = new DerCursor(readWhole(extension.value, TAG.SEQUENCE)); !cursor.done;) {
    const name = cursor.next();
    if (name.tag === context(6, false)) uris.push(readAscii(name));
    else if (name.tag === context(2, false)) dns.push(readAscii(name));
    else if (name.tag === context(7, false)) ips.push(content(name));
  }
  return { uris, dns, ips };
}

/** Whether basicConstraints says that this is a CA. */
export function isCa(certificate: Certificate): boolean {
  const extension = certificate.extensions.get(OID.BASIC_CONSTRAINTS);
  if (!extension) return false;
  const flag = new DerCursor(readWhole(extension.value, TAG.SEQUENCE)).optional(TAG.BOOLEAN);
  return flag !== undefined && readBoolean(flag);
}

/**
 * The SPIFFE identities of a peer: every URI SAN of its leaf certificate that is one, in order. The first is the peer's
 * identity in policy, logs and metrics (ztunnel's rule). The caller has verified the chain.
 *
 * @returns an empty array when there is none, or when the DER is malformed
 */
export function peerSpiffeIds(der: Uint8Array): SpiffeId[] {
  try {
    return altNames(parseCertificate(der).extensions).uris.filter((uri): uri is SpiffeId =>
      parseSpiffeId(uri) !== undefined
    );
  } catch (cause) {
    if (cause instanceof MeshError) return [];
    throw cause;
  }
}

/** The facts that logs, admin pages and rotation need. */
export interface CertificateFacts {
  /** Decimal. */
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly spiffeIds: readonly SpiffeId[];
}

/** @throws MeshError `invalid_der` */
export function certificateFacts(der: Uint8Array): CertificateFacts {
  const { serial, notBefore, notAfter } = parseCertificate(der);
  return { serial: serial.toString(), notBefore, notAfter, spiffeIds: peerSpiffeIds(der) };
}
