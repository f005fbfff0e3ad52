// The CA's own key and certificates: made, checked, renewed, and kept in the layouts that Istio uses.

import { MeshError } from "../core/errors.ts";
import { type Certificate, isCa, parseCertificate } from "./certificate.ts";
import { nameOf, publicKeyOf, selfSign } from "./issue.ts";
import { type KeySpec, newKeyPair } from "./keys.ts";
import { certificatesOf, encodePem } from "./pem.ts";
import { privateKeyFrom, publicKeyFrom, verifySignature } from "./signature.ts";

export type CaMaterialErrorCode = "invalid_ca" | "incomplete_ca";

/** A CA as PEM texts. The key is a secret: never logged. */
export interface CaMaterial {
  /** The certificate that signs. */
  readonly certPem: string;
  readonly keyPem: string;
  /** From the signing certificate up towards the root; empty for a self-signed CA. */
  readonly chainPem: string;
  /** What workloads trust: one or several roots. */
  readonly rootPem: string;
}

export interface SelfSignedOptions {
  readonly trustDomain: string;
  readonly ttlMs: number;
  readonly key: KeySpec;
  readonly now: number;
}

/** Istio's defaults: RSA 2048, ten years. */
export const SELF_SIGNED_DEFAULTS = { key: { kind: "RSA", bits: 2048 } as KeySpec, ttlMs: 3650 * 24 * 3600_000 };

/** How far certificates are backdated, so that peers whose clocks are a little behind accept them. */
export const BACKDATE_MS = 120_000;

/** A new self-signed root whose organization is the trust domain. */
export async function newSelfSignedCa(options: SelfSignedOptions): Promise<CaMaterial> {
  const keys = await newKeyPair(options.key);
  return selfSignedWith(keys.keyPem, nameOf({ organization: options.trustDomain }), options.ttlMs, options.now);
}

/** A certificate of the same root, with the same key and name, and a new life: what the old one signed stays valid. */
export function renewSelfSignedCa(old: CaMaterial, ttlMs: number, now: number): CaMaterial {
  return selfSignedWith(old.keyPem, parseCertificate(certificatesOf(old.certPem)[0]).subject, ttlMs, now);
}

function selfSignedWith(keyPem: string, subject: Uint8Array, ttlMs: number, now: number): CaMaterial {
  const key = privateKeyFrom(keyPem);
  const der = selfSign({
    subject,
    publicKey: publicKeyOf(key),
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + ttlMs),
    ca: true,
    names: [],
    namesCritical: false,
  }, key);
  const certPem = encodePem("CERTIFICATE", der);
  return { certPem, keyPem, chainPem: "", rootPem: certPem };
}

/** Whether so little of a certificate's life is left (Istio: 20 %) that it should be renewed. */
export function nearExpiry(certPem: string, gracePercent: number, now: number): boolean {
  const { notBefore, notAfter } = parseCertificate(certificatesOf(certPem)[0]);
  return notAfter.getTime() - now < (notAfter.getTime() - notBefore.getTime()) * gracePercent / 100;
}

/** The data of Secret `istio-ca-secret` (type `istio.io/ca-root`), as text; the API wants it in base64. */
export function caToSecretData(ca: CaMaterial): Record<string, string> {
  return {
    "ca-cert.pem": ca.certPem,
    "ca-key.pem": ca.keyPem,
    "root-cert.pem": ca.rootPem,
    "cert-chain.pem": ca.chainPem,
    "key.pem": "",
  };
}

/** File or key names of a CA in Istio's layout and in that of `kubernetes.io/tls`. */
export const CA_KEYS = [
  "ca-cert.pem",
  "ca-key.pem",
  "root-cert.pem",
  "cert-chain.pem",
  "tls.crt",
  "tls.key",
  "ca.crt",
] as const;

/**
 * Reads a CA from the data of a Secret or the files of a directory (`istio-ca-secret`, `cacerts`, `kubernetes.io/tls`).
 *
 * @returns undefined when nothing of a CA is there
 * @throws MeshError `incomplete_ca` when a part is missing, `invalid_ca` when the parts do not fit together
 */
export function caFromData(data: Readonly<Record<string, string | undefined>>): CaMaterial | undefined {
  const has = (name: string) => (data[name] ?? "").trim() !== "";
  const tls = !["ca-cert.pem", "ca-key.pem", "root-cert.pem"].some(has) && ["tls.crt", "tls.key", "ca.crt"].some(has);
  const required = tls ? ["tls.crt", "tls.key", "ca.crt"] : ["ca-cert.pem", "ca-key.pem", "root-cert.pem"];
  const missing = required.filter((name) => !has(name));
  if (missing.length === required.length) {
    if (!has("cert-chain.pem")) return undefined;
  }
  if (missing.length > 0) {
    throw new MeshError<CaMaterialErrorCode>(
      "incomplete_ca",
      `cannot use the plugged-in CA: ${missing.map((name) => `"${name}"`).join(", ")} missing`,
    );
  }
  const [certPem, keyPem, rootPem] = required.map((name) => data[name]!);
  const chainPem = tls ? `${certPem.trimEnd()}\n${rootPem}` : data["cert-chain.pem"] ?? "";
  const ca = { certPem, keyPem, rootPem, chainPem };
  checkCa(ca);
  return ca;
}

/**
 * Reads a CA from the files of a directory such as `/etc/cacerts`.
 *
 * @returns undefined when the directory is absent or holds nothing of a CA
 */
export async function caFromDirectory(directory: string): Promise<CaMaterial | undefined> {
  const data: Record<string, string> = {};
  for (const name of CA_KEYS) {
    try {
      data[name] = await Deno.readTextFile(`${directory}/${name}`);
    } catch (cause) {
      if (!(cause instanceof Deno.errors.NotFound) && !(cause instanceof Deno.errors.NotADirectory)) throw cause;
    }
  }
  return caFromData(data);
}

/** The signing certificate with what the authority needs to know of it. */
export interface CheckedCa {
  readonly certificate: Certificate;
  readonly roots: readonly Certificate[];
  /** Between leaf and root, in the order to send: the signing certificate first, roots left out. */
  readonly intermediates: readonly Certificate[];
}

/**
 * Checks that the parts of a CA fit: the key belongs to the certificate, the certificate may sign, and it leads to a root.
 *
 * @throws MeshError `invalid_ca`
 */
export function checkCa(ca: CaMaterial): CheckedCa {
  const fail = (why: string, cause?: unknown) =>
    new MeshError<CaMaterialErrorCode>("invalid_ca", `cannot use the CA: ${why}`, { cause });
  try {
    const certificates = certificatesOf(ca.certPem).map(parseCertificate),
      roots = certificatesOf(ca.rootPem).map(parseCertificate);
    if (certificates.length === 0 || roots.length === 0) throw fail("its certificate or its root is not PEM");
    const certificate = certificates[0];
    if (!isCa(certificate)) throw fail("its certificate is not a CA certificate");
    if (!sameBytes(publicKeyOf(privateKeyFrom(ca.keyPem)), certificate.publicKey)) {
      throw fail("its key does not belong to its certificate");
    }
    const others = [...certificates.slice(1), ...certificatesOf(ca.chainPem).map(parseCertificate)];
    const intermediates = pathToRoot(certificate, others, roots);
    if (!intermediates) throw fail("its certificate does not lead to its root");
    return { certificate, roots, intermediates };
  } catch (cause) {
    if (cause instanceof MeshError && cause.code === "invalid_ca") throw cause;
    throw fail("its certificate or key cannot be read", cause);
  }
}

/** Certificates from `leaf` (included unless it is a root itself) to below a root; undefined when no root is reached. */
function pathToRoot(
  leaf: Certificate,
  others: readonly Certificate[],
  roots: readonly Certificate[],
): Certificate[] | undefined {
  const path: Certificate[] = [];
  for (let current = leaf; path.length < 16;) {
    if (roots.some((root) => sameBytes(root.der, current.der))) return path;
    path.push(current);
    if (roots.some((root) => issuedBy(current, root))) return path;
    const parent = others.find((other) => issuedBy(current, other) && !path.includes(other));
    if (!parent) return undefined;
    current = parent;
  }
  return undefined;
}

/** Whether `issuer` signed `certificate`: its name, its right to sign and the signature. */
export function issuedBy(certificate: Certificate, issuer: Certificate): boolean {
  if (!sameBytes(certificate.issuer, issuer.subject) || !isCa(issuer)) return false;
  return verifySignature(
    certificate.signatureAlgorithm,
    publicKeyFrom(issuer.publicKey),
    certificate.tbs,
    certificate.signature,
  );
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/**
 * Whether a running CA may be replaced by files that changed on disk: another intermediate under the same roots always, other
 * roots only in a multi-root mesh (`ISTIO_MULTIROOT_MESH`) and only when one bundle contains the other, since workloads trust
 * what they were given.
 *
 * @returns why not, or undefined
 */
export function refusesReplacement(current: CaMaterial, next: CaMaterial, multiRoot: boolean): string | undefined {
  const [old, fresh] = [current, next].map(({ rootPem }) => certificatesOf(rootPem));
  const contains = (bundle: readonly Uint8Array[], part: readonly Uint8Array[]) =>
    part.every((der) => bundle.some((other) => sameBytes(der, other)));
  const grows = contains(fresh, old), shrinks = contains(old, fresh);
  if (grows && shrinks) return undefined;
  if (!multiRoot) return "the root changed; set ISTIO_MULTIROOT_MESH=true to allow that";
  return grows || shrinks ? undefined : "neither root bundle contains the other";
}
