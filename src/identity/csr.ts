// PKCS#10 certificate requests (RFC 2986): made by the workload's proxy, read by the CA.

import { MeshError } from "../core/errors.ts";
import type { SpiffeId } from "../model/identity.ts";
import { type AltNames, altNames, OID, readExtensions } from "./certificate.ts";
import { DerCursor, raw, readAscii, readBits, readInteger, readOid, readWhole, TAG } from "./der.ts";
import { bitString, boolean, integer, octetString, oid, sequence, set, tagged } from "./der_write.ts";
import { type KeyPair, newKeyPair, WORKLOAD_KEY } from "./keys.ts";
import { decodePem, encodePem } from "./pem.ts";
import { publicKeyFrom, signingAlgorithm, verifySignature } from "./signature.ts";

export type CsrErrorCode = "invalid_csr";

/** Requests longer than this are refused unread. */
export const MAX_CSR_BYTES = 32 * 1024;

/** A fresh workload key with a request for `id`: URI SAN, empty subject. */
export async function createCsr(id: SpiffeId): Promise<{ csrPem: string; keys: KeyPair }> {
  const keys = await newKeyPair(WORKLOAD_KEY);
  const names = sequence(tagged(6, false, new TextEncoder().encode(id)));
  const extension = sequence(oid(OID.SUBJECT_ALT_NAME), boolean(true), octetString(names));
  const attributes = tagged(0, true, sequence(oid(OID.EXTENSION_REQUEST), set(sequence(extension))));
  const info = sequence(integer(0n), sequence(), keys.publicKey, attributes);
  const algorithm = signingAlgorithm(keys.privateKey);
  const der = sequence(info, algorithm.identifier, bitString(algorithm.sign(info)));
  return { csrPem: encodePem("CERTIFICATE REQUEST", der), keys };
}

/** What the CA takes from a request. */
export interface CertificateRequest {
  /** SubjectPublicKeyInfo; the request proves possession of its private key. */
  readonly publicKey: Uint8Array;
  /** The first common name of the subject, when there is one. */
  readonly commonName?: string;
  /** What was asked for; the CA ignores it and names the authenticated caller instead. */
  readonly names: AltNames;
}

/**
 * Parses a request and checks its self-signature.
 *
 * @throws MeshError `invalid_csr`
 */
export function parseCsr(pem: string): CertificateRequest {
  const fail = (why: string, cause?: unknown) =>
    new MeshError<CsrErrorCode>("invalid_csr", `cannot read the certificate request: ${why}`, {
      source: "downstream",
      cause,
    });
  if (pem.length > MAX_CSR_BYTES) throw fail(`it has ${pem.length} characters`);
  try {
    const blocks = decodePem(pem);
    // OpenSSL once wrote NEW before the label; Go and so Istio accept the modern one only, and one block.
    if (blocks.length !== 1 || blocks[0].label !== "CERTIFICATE REQUEST") {
      throw fail("want one CERTIFICATE REQUEST block");
    }
    return parse(blocks[0].der, fail);
  } catch (cause) {
    if (cause instanceof MeshError && cause.code === "invalid_csr") throw cause;
    throw fail(cause instanceof MeshError ? cause.message : "malformed", cause);
  }
}

function parse(der: Uint8Array, fail: (why: string) => MeshError): CertificateRequest {
  const outer = new DerCursor(readWhole(der, TAG.SEQUENCE));
  const infoElement = outer.expect(TAG.SEQUENCE);
  const algorithm = readOid(new DerCursor(outer.expect(TAG.SEQUENCE)).next());
  const signature = readBits(outer.expect(TAG.BIT_STRING));
  outer.end();

  const info = new DerCursor(infoElement);
  if (readInteger(info.next()) !== 0n) throw fail("unknown version");
  const commonName = readCommonName(info.expect(TAG.SEQUENCE));
  const publicKey = raw(info.expect(TAG.SEQUENCE));
  let names: AltNames = { uris: [], dns: [], ips: [] };
  const attributes = info.optional(0xa0);
  if (attributes) {
    for (const cursor = new DerCursor(attributes); !cursor.done;) {
      const attribute = new DerCursor(cursor.expect(TAG.SEQUENCE));
      const type = readOid(attribute.next()), values = attribute.expect(TAG.SET);
      if (type !== OID.EXTENSION_REQUEST) continue;
      names = altNames(readExtensions(new DerCursor(values).expect(TAG.SEQUENCE)));
    }
  }
  info.end();
  if (!verifySignature(algorithm, publicKeyFrom(publicKey), raw(infoElement), signature)) {
    throw fail("its signature does not verify");
  }
  return { publicKey, commonName, names };
}

function readCommonName(name: ReturnType<DerCursor["next"]>): string | undefined {
  for (const rdns = new DerCursor(name); !rdns.done;) {
    for (const pairs = new DerCursor(rdns.expect(TAG.SET)); !pairs.done;) {
      const pair = new DerCursor(pairs.expect(TAG.SEQUENCE));
      const type = readOid(pair.next()), value = pair.next();
      const textual = value.tag === TAG.UTF8_STRING || value.tag === TAG.PRINTABLE_STRING ||
        value.tag === TAG.IA5_STRING;
      if (type === OID.COMMON_NAME && textual) return readAscii(value);
    }
  }
  return undefined;
}
