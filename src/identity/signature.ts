// Signatures over certificates and certificate requests. SHA-1, MD5 and DSA are not among them.

import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { Buffer } from "node:buffer";
import { describeError, MeshError } from "../core/errors.ts";
import { nullValue, oid, sequence } from "./der_write.ts";

export type KeyErrorCode = "invalid_key" | "weak_key" | "unsupported_signature";

/** Signature algorithms by object identifier: kind of key and digest (null: the algorithm has its own). */
const ALGORITHMS: Readonly<Record<string, { key: string; digest: string | null }>> = {
  "1.2.840.113549.1.1.11": { key: "rsa", digest: "sha256" },
  "1.2.840.113549.1.1.12": { key: "rsa", digest: "sha384" },
  "1.2.840.113549.1.1.13": { key: "rsa", digest: "sha512" },
  "1.2.840.10045.4.3.2": { key: "ec", digest: "sha256" },
  "1.2.840.10045.4.3.3": { key: "ec", digest: "sha384" },
  "1.2.840.10045.4.3.4": { key: "ec", digest: "sha512" },
  "1.3.101.112": { key: "ed25519", digest: null },
};

const SIGNING: Readonly<Record<string, string>> = {
  rsa: "1.2.840.113549.1.1.11",
  prime256v1: "1.2.840.10045.4.3.2",
  secp384r1: "1.2.840.10045.4.3.3",
  secp521r1: "1.2.840.10045.4.3.4",
  ed25519: "1.3.101.112",
};

const MIN_RSA_BITS = 2048, MAX_RSA_BITS = 8192;

/**
 * A public key from its SubjectPublicKeyInfo: RSA of 2048 to 8192 bits, EC on a NIST curve, or Ed25519.
 *
 * @throws MeshError `invalid_key`, `weak_key`
 */
export function publicKeyFrom(spki: Uint8Array): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch (cause) {
    throw new MeshError<KeyErrorCode>("invalid_key", "cannot read the public key", { source: "downstream", cause });
  }
  checkStrength(key);
  return key;
}

/**
 * A private key from PEM (PKCS#8, PKCS#1 or SEC 1).
 *
 * @throws MeshError `invalid_key`, `weak_key`
 */
export function privateKeyFrom(pem: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    // The cause could quote the key; its message alone is kept.
    throw new MeshError<KeyErrorCode>(
      "invalid_key",
      `cannot read the private key: ${describeError(cause).slice(0, 100)}`,
    );
  }
  checkStrength(key);
  return key;
}

function checkStrength(key: KeyObject): void {
  const type = key.asymmetricKeyType, details = key.asymmetricKeyDetails;
  if (type === "rsa") {
    const bits = details?.modulusLength ?? 0;
    if (bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS) return;
    throw new MeshError<KeyErrorCode>(
      "weak_key",
      `cannot use an RSA key of ${bits} bits: want ${MIN_RSA_BITS} to ${MAX_RSA_BITS}`,
    );
  }
  if (type === "ed25519" || (type === "ec" && SIGNING[details?.namedCurve ?? ""] !== undefined)) return;
  throw new MeshError<KeyErrorCode>("invalid_key", `cannot use a key of type "${type} ${details?.namedCurve ?? ""}"`);
}

/** A signer's algorithm and the AlgorithmIdentifier that names it. */
export function signingAlgorithm(key: KeyObject): { identifier: Uint8Array; sign(data: Uint8Array): Uint8Array } {
  const type = key.asymmetricKeyType!;
  const id = SIGNING[type === "ec" ? key.asymmetricKeyDetails?.namedCurve ?? "" : type];
  if (id === undefined) {
    throw new MeshError<KeyErrorCode>("unsupported_signature", `cannot sign with a key of type "${type}"`);
  }
  return {
    identifier: type === "rsa" ? sequence(oid(id), nullValue()) : sequence(oid(id)),
    sign: (data) => sign(ALGORITHMS[id].digest, data, key),
  };
}

/** Whether `signature` over `data` was made by `key` with the algorithm of this object identifier. Never throws. */
export function verifySignature(algorithm: string, key: KeyObject, data: Uint8Array, signature: Uint8Array): boolean {
  const known = Object.hasOwn(ALGORITHMS, algorithm) ? ALGORITHMS[algorithm] : undefined;
  if (known === undefined || known.key !== key.asymmetricKeyType) return false;
  try {
    return verify(known.digest, data, key, signature);
  } catch {
    return false;
  }
}
