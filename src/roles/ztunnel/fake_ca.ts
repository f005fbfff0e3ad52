import { CertificateAuthority } from "../../identity/authority.ts";
import { readReply } from "../../identity/ca_client.ts";
import { caFromDirectory, newSelfSignedCa } from "../../identity/ca_material.ts";
import { WORKLOAD_KEY } from "../../identity/keys.ts";
import { createCsr } from "../../identity/csr.ts";
import type { CertificateSource, WorkloadCertificate } from "../../identity/types.ts";
import { MeshError } from "../../core/errors.ts";
import type { SpiffeId } from "../../model/mod.ts";

/** Signs for anybody, in this process: for tests and benches, never for a mesh. */
export class FakeCa implements CertificateSource {
  readonly #ttlMs: number;
  readonly #directory: string;
  #authority: Promise<CertificateAuthority> | undefined;

  /** @param directory of a CA's PEM files, so that several ztunnels trust each other; "" makes a CA of its own */
  constructor(directory: string, ttlMs: number) {
    this.#directory = directory;
    this.#ttlMs = ttlMs;
  }

  async fetch(id: SpiffeId): Promise<WorkloadCertificate> {
    const authority = await (this.#authority ??= this.#load());
    const { csrPem, keys } = await createCsr(id);
    return readReply(id, keys, authority.issue(csrPem, [id], this.#ttlMs));
  }

  async #load(): Promise<CertificateAuthority> {
    const material = this.#directory === ""
      ? await newSelfSignedCa({
        trustDomain: "cluster.local",
        ttlMs: 10 * 365 * 24 * 3600_000,
        key: WORKLOAD_KEY,
        now: Date.now(),
      })
      : await caFromDirectory(this.#directory);
    if (!material) throw new MeshError("invalid_config", `FAKE_CA_DIR="${this.#directory}" holds no CA`);
    return new CertificateAuthority(material);
  }
}
