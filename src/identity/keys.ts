import { generateKeyPair, type KeyObject } from "node:crypto";

/** What key to make; `RSA` takes its size in bits. */
export type KeySpec = { readonly kind: "EC"; readonly curve: "P-256" | "P-384" } | {
  readonly kind: "RSA";
  readonly bits: number;
};

/** ztunnel's workload keys. */
export const WORKLOAD_KEY: KeySpec = { kind: "EC", curve: "P-256" };

export interface KeyPair {
  readonly privateKey: KeyObject;
  /** PKCS#8 PEM. */
  readonly keyPem: string;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
}

/** A fresh key pair; the work happens off the event loop. */
export function newKeyPair(spec: KeySpec): Promise<KeyPair> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, publicKey: KeyObject, privateKey: KeyObject) => {
      if (error) return reject(error);
      resolve({
        privateKey,
        keyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
        publicKey: new Uint8Array(publicKey.export({ type: "spki", format: "der" })),
      });
    };
    if (spec.kind === "EC") generateKeyPair("ec", { namedCurve: spec.curve }, done);
    else generateKeyPair("rsa", { modulusLength: spec.bits }, done);
  });
}
