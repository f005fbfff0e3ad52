import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIPv4 } from "node:net";
import { bitString, boolean, concat, element, integer, octets, oid, sequence, set, time, utf8 } from "./der.ts";

/** A certificate and its private key, as PEM. */
export interface KeyedCertificate {
  certPem: string;
  keyPem: string;
}

export interface CertificateRequest {
  commonName: string;
  organizations?: string[];
  dnsNames?: string[];
  ipAddresses?: string[];
  usage: "authority" | "server" | "client";
  days: number;
  now: number;
}

const ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));
const BACKDATE_MS = 3600_000;

function nameOf(commonName: string, organizations: string[]): Uint8Array {
  const parts = organizations.map((organization) => set(sequence(oid("2.5.4.10"), utf8(organization))));
  return sequence(...parts, set(sequence(oid("2.5.4.3"), utf8(commonName))));
}

function extension(id: string, critical: boolean, value: Uint8Array): Uint8Array {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));
}

function addressBytes(address: string): Uint8Array {
  if (isIPv4(address)) return Uint8Array.from(address.split(".").map(Number));
  const [head, tail] = address.split("::").map((part) => part.split(":").filter((group) => group !== ""));
  const groups = tail ? [...head, ...Array(8 - head.length - tail.length).fill("0"), ...tail] : head;
  return Uint8Array.from(groups.flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]));
}

/** Identifier of a public key: SHA-1 of the key's bits (RFC 5280 4.2.1.2). */
function keyIdentifier(spki: Uint8Array): Uint8Array {
  // An uncompressed P-256 point is the last 65 bytes of its SubjectPublicKeyInfo.
  return createHash("sha1").update(spki.subarray(spki.length - 65)).digest();
}

/** Issues a certificate for a new P-256 key: self-signed without `issuer`. */
export function issueCertificate(
  request: CertificateRequest,
  issuer?: KeyedCertificate & { commonName: string },
): KeyedCertificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const subject = nameOf(request.commonName, request.organizations ?? []);
  const signingKey: KeyObject = issuer ? createPrivateKey(issuer.keyPem) : privateKey;
  const extensions = [extension("2.5.29.14", false, octets(keyIdentifier(spki)))];
  if (request.usage === "authority") {
    extensions.push(extension("2.5.29.19", true, sequence(boolean(true))));
    extensions.push(extension("2.5.29.15", true, bitString(Uint8Array.of(0b1010_0100), 2)));
  } else {
    extensions.push(extension("2.5.29.19", true, sequence()));
    extensions.push(extension("2.5.29.15", true, bitString(Uint8Array.of(0b1000_0000), 7)));
    const purpose = request.usage === "server" ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2";
    extensions.push(extension("2.5.29.37", false, sequence(oid(purpose))));
  }
  const names = [
    ...(request.dnsNames ?? []).map((name) => element(0x82, new TextEncoder().encode(name))),
    ...(request.ipAddresses ?? []).map((address) => element(0x87, addressBytes(address))),
  ];
  if (names.length > 0) extensions.push(extension("2.5.29.17", false, sequence(...names)));
  const serial = randomBytes(16);
  serial[0] &= 0x7f;
  const body = sequence(
    element(0xa0, integer(Uint8Array.of(2))),
    integer(serial),
    ECDSA_SHA256,
    issuer ? nameOf(issuer.commonName, []) : subject,
    sequence(time(new Date(request.now - BACKDATE_MS)), time(new Date(request.now + request.days * 86_400_000))),
    subject,
    spki,
    element(0xa3, sequence(...extensions)),
  );
  const signature = sign("sha256", body, { key: signingKey, dsaEncoding: "der" });
  return { certPem: toPem("CERTIFICATE", concat(sequence(body, ECDSA_SHA256, bitString(signature)))), keyPem };
}

export function toPem(label: string, der: Uint8Array): string {
  const lines = der.toBase64().match(/.{1,64}/g)!;
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
