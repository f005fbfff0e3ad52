// istiod's certificate authority. What stands in a workload certificate comes from the authenticated caller and this file,
// never from the request: only the public key (and a common name, if there is one) is taken from the CSR.

import { MeshError } from "../core/errors.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import type { SpiffeId } from "../model/identity.ts";
import { BACKDATE_MS, type CaMaterial, checkCa, type CheckedCa } from "./ca_material.ts";
import { type AltName, EMPTY_NAME, keyIdOf, nameOf, signCertificate, type Signer } from "./issue.ts";
import { type KeySpec, newKeyPair } from "./keys.ts";
import { parseCsr } from "./csr.ts";
import { encodePem } from "./pem.ts";
import { privateKeyFrom } from "./signature.ts";

export type AuthorityErrorCode = "ttl_too_long" | "ca_expired" | "no_identity";

export interface AuthorityOptions {
  /** Lifetime when a request names none (`DEFAULT_WORKLOAD_CERT_TTL`). */
  readonly defaultTtlMs?: number;
  /** A request for more is refused, not shortened (`MAX_WORKLOAD_CERT_TTL`). */
  readonly maxTtlMs?: number;
  readonly clock?: Clock;
}

const DAY_MS = 24 * 3600_000;

/** Signs workload certificates and istiod's own serving certificate. The CA it signs with can be replaced while it runs. */
export class CertificateAuthority {
  #material!: CaMaterial;
  #checked!: CheckedCa;
  #signer!: Signer;
  #chain: readonly string[] = [];
  readonly #clock: Clock;
  readonly #defaultTtlMs: number;
  readonly #maxTtlMs: number;

  /** @throws MeshError `invalid_ca` */
  constructor(material: CaMaterial, options: AuthorityOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#defaultTtlMs = options.defaultTtlMs ?? DAY_MS;
    this.#maxTtlMs = options.maxTtlMs ?? 90 * DAY_MS;
    this.replace(material);
  }

  /** Signs with other material from now on; on an error nothing changes. */
  replace(material: CaMaterial): void {
    const checked = checkCa(material), key = privateKeyFrom(material.keyPem);
    this.#signer = { subject: checked.certificate.subject, keyId: keyIdOf(checked.certificate), key };
    this.#chain = checked.intermediates.map(({ der }) => encodePem("CERTIFICATE", der));
    this.#checked = checked;
    this.#material = material;
  }

  get material(): CaMaterial {
    return this.#material;
  }

  /** The root bundle: what `istio-ca-root-cert` carries. */
  get rootPem(): string {
    const text = this.#material.rootPem;
    return text.endsWith("\n") ? text : text + "\n";
  }

  /** When the signing certificate and the first root end, for metrics. */
  get expiry(): { signing: Date; root: Date } {
    return { signing: this.#checked.certificate.notAfter, root: this.#checked.roots[0].notAfter };
  }

  /**
   * Answers a request for the certificate of `ids`.
   *
   * @param ttlMs zero or less asks for the default
   * @returns PEM elements in the order of the reply: leaf, intermediates, root bundle
   * @throws MeshError `invalid_csr`, `ttl_too_long`, `ca_expired`, `no_identity`
   */
  issue(csrPem: string, ids: readonly SpiffeId[], ttlMs: number): string[] {
    if (ids.length === 0) {
      throw new MeshError<AuthorityErrorCode>("no_identity", "cannot sign a certificate without an identity");
    }
    const request = parseCsr(csrPem);
    if (ttlMs > this.#maxTtlMs) {
      throw new MeshError<AuthorityErrorCode>(
        "ttl_too_long",
        `cannot sign for ${ttlMs / 1000}s: the longest lifetime is ${this.#maxTtlMs / 1000}s`,
        { source: "downstream" },
      );
    }
    const leaf = signCertificate({
      subject: request.commonName === undefined ? EMPTY_NAME : nameOf({ commonName: request.commonName }),
      publicKey: request.publicKey,
      ...this.#validity(ttlMs > 0 ? ttlMs : this.#defaultTtlMs),
      ca: false,
      names: ids.map((uri) => ({ uri })),
      namesCritical: true,
    }, this.#signer);
    return [encodePem("CERTIFICATE", leaf), ...this.#chain, this.rootPem];
  }

  /** A certificate with its key for istiod's own ports. */
  async servingCertificate(
    names: readonly AltName[],
    ttlMs: number,
    key: KeySpec,
  ): Promise<{ chainPem: string; keyPem: string }> {
    const keys = await newKeyPair(key);
    const leaf = signCertificate({
      subject: EMPTY_NAME,
      publicKey: keys.publicKey,
      ...this.#validity(ttlMs),
      ca: false,
      names,
      namesCritical: true,
    }, this.#signer);
    return { chainPem: [encodePem("CERTIFICATE", leaf), ...this.#chain].join(""), keyPem: keys.keyPem };
  }

  #validity(ttlMs: number): { notBefore: Date; notAfter: Date } {
    const now = this.#clock.now(), signerEnd = this.#checked.certificate.notAfter.getTime();
    if (signerEnd <= now) {
      throw new MeshError<AuthorityErrorCode>(
        "ca_expired",
        `cannot sign: the CA certificate ended at "${new Date(signerEnd).toISOString()}"`,
      );
    }
    return { notBefore: new Date(now - BACKDATE_MS), notAfter: new Date(Math.min(now + ttlMs, signerEnd)) };
  }
}

/** The DNS names of istiod's serving certificate (ca.md §7): each Service as `<name>.<namespace>.svc`, and custom hosts. */
export function istiodDnsNames(namespace: string, revision: string, customHosts: readonly string[] = []): AltName[] {
  const services = [
    "istiod",
    "istiod-remote",
    "istio-pilot",
    ...(revision && revision !== "default" ? [`istiod-${revision}`] : []),
  ];
  return [...new Set([...services.map((name) => `${name}.${namespace}.svc`), ...customHosts])].map((dns) => ({ dns }));
}
