// Where istiod's CA comes from (ca.md §8): a plugged-in one, or a self-signed one kept in a Secret that replicas share.

import { Buffer } from "node:buffer";
import type { Clock } from "../../core/clock.ts";
import { describeError, MeshError } from "../../core/errors.ts";
import { CertificateAuthority } from "../../identity/authority.ts";
import {
  caFromData,
  caFromDirectory,
  type CaMaterial,
  caToSecretData,
  nearExpiry,
  newSelfSignedCa,
  renewSelfSignedCa,
} from "../../identity/ca_material.ts";
import { isApiStatus, type KubeClient, type KubeObject, RESOURCES } from "../../kube/mod.ts";
import { readRootSecret, ROOT_SECRET as SECRET } from "./root_secret.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { IstiodConfig } from "./config.ts";

const SECRET_TYPE = "istio.io/ca-root";

export interface RootCaOptions {
  readonly client: KubeClient;
  readonly config: IstiodConfig;
  /** Of the mesh, for a new root; known a little later than the rest. */
  readonly trustDomain: () => Promise<string>;
  /** The Secret as somebody has read it already. */
  readonly known?: KubeObject;
  readonly logger: Logger;
  readonly clock: Clock;
  /** The root, or what signs, has changed. */
  readonly onChange: () => void;
}

/** istiod's authority, kept current while it runs. */
export class RootCa {
  readonly authority: CertificateAuthority;
  readonly plugged: boolean;
  readonly #options: RootCaOptions;
  #watcher: Deno.FsWatcher | undefined;
  #cancel: (() => void)[] = [];

  private constructor(options: RootCaOptions, material: CaMaterial, plugged: boolean) {
    const { config, clock } = options;
    this.#options = options;
    this.plugged = plugged;
    this.authority = new CertificateAuthority(material, {
      defaultTtlMs: config.defaultWorkloadTtlMs,
      maxTtlMs: config.maxWorkloadTtlMs,
      clock,
    });
  }

  /**
   * Finds the CA, or makes one.
   *
   * @throws MeshError `incomplete_ca`, `invalid_ca`; what the API answers
   */
  static async load(options: RootCaOptions): Promise<RootCa> {
    const { config, logger } = options;
    const plugged = await caFromDirectory(config.pluggedCaDirectory);
    if (plugged) {
      logger.info("using the plugged-in CA", { directory: config.pluggedCaDirectory });
      return new RootCa(options, plugged, true);
    }
    return new RootCa(options, await sharedCa(options), false);
  }

  /** Follows changes: files of a plugged-in CA, the remaining life of a self-signed one. */
  watch(): void {
    if (this.plugged) void this.#watchFiles();
    else this.#checkLater();
  }

  close(): void {
    this.#watcher?.close();
    for (const cancel of this.#cancel) cancel();
  }

  async #watchFiles(): Promise<void> {
    const { config, logger, clock } = this.#options;
    const directory = config.pluggedCaDirectory;
    let pending: (() => void) | undefined;
    try {
      this.#watcher = Deno.watchFs(directory);
      for await (const _ of this.#watcher) {
        pending?.();
        pending = clock.timer(100, () => void this.#reloadFiles());
        this.#cancel = [pending];
      }
    } catch (error) {
      logger.warn("cannot watch the plugged-in CA", { directory, error: describeError(error) });
    }
  }

  /** A new signing certificate under the same root is taken over; another root would cut off every running proxy. */
  async #reloadFiles(): Promise<void> {
    const { config, logger, onChange } = this.#options;
    try {
      const next = await caFromDirectory(config.pluggedCaDirectory);
      const now = this.authority.material;
      if (!next || (next.certPem === now.certPem && next.keyPem === now.keyPem && next.chainPem === now.chainPem)) {
        return;
      }
      if (next.rootPem.trim() !== now.rootPem.trim()) {
        logger.error("the plugged-in CA has another root now; restart istiod to take it over");
        return;
      }
      this.authority.replace(next);
      logger.info("took over a new signing certificate");
      onChange();
    } catch (error) {
      logger.error("cannot take over the plugged-in CA; the old one stays in use", { error: describeError(error) });
    }
  }

  #checkLater(): void {
    const { config, clock } = this.#options;
    // Replicas check at different times.
    const waitMs = config.rootCheckIntervalMs * (0.9 + Math.random() * 0.2);
    this.#cancel = [clock.timer(waitMs, () => {
      void this.checkExpiry().finally(() => this.#checkLater());
    })];
  }

  /** Renews the self-signed root when little of its life is left, or takes over what another replica renewed. */
  async checkExpiry(): Promise<void> {
    const { client, config, clock, logger, onChange } = this.#options;
    try {
      const secret = await client.get(RESOURCES.secrets, config.namespace, SECRET);
      let material = secret ? materialOf(secret) : undefined;
      if (secret && material && nearExpiry(material.certPem, config.rootGracePercent, clock.now())) {
        material = renewSelfSignedCa(material, config.selfSignedTtlMs, clock.now());
        // The resourceVersion in it lets one replica win; the others find its work the next time.
        await client.update(RESOURCES.secrets, { ...secret, data: encode(caToSecretData(material)) });
        logger.info("renewed the self-signed root");
      }
      if (!material || material.certPem === this.authority.material.certPem) return;
      this.authority.replace(material);
      onChange();
    } catch (error) {
      logger.warn("cannot check the root certificate", { error: describeError(error) });
    }
  }
}

/** The self-signed CA in the Secret. When several replicas start at once, the first to create it decides. */
async function sharedCa(options: RootCaOptions): Promise<CaMaterial> {
  const { client, config, logger } = options, { namespace } = config;
  let secret = options.known;
  for (let attempt = 0; attempt < 5; attempt++) {
    const material = secret && materialOf(secret);
    if (material) {
      logger.info("using the self-signed CA", { secret: `${namespace}/${SECRET}` });
      return material;
    }
    const fresh = await newRoot(options);
    const data = encode(caToSecretData(fresh));
    try {
      if (secret) await client.update(RESOURCES.secrets, { ...secret, data });
      else await client.create(RESOURCES.secrets, { metadata: { namespace, name: SECRET }, type: SECRET_TYPE, data });
      logger.info("made a self-signed CA", { secret: `${namespace}/${SECRET}` });
      return fresh;
    } catch (error) {
      if (!isApiStatus(error, 409)) throw error;
      secret = await readRootSecret(client, namespace);
    }
  }
  throw new MeshError(
    "ca_contended",
    `cannot agree on the CA in Secret "${namespace}/${SECRET}"; other replicas keep changing it`,
  );
}

/** A new root. The key takes a tenth of a second to make, so it does not wait for the trust domain, which is rarely another. */
async function newRoot({ config, trustDomain, clock }: RootCaOptions): Promise<CaMaterial> {
  const make = (trustDomain: string) =>
    newSelfSignedCa({
      trustDomain,
      ttlMs: config.selfSignedTtlMs,
      key: { kind: "RSA", bits: config.selfSignedRsaBits },
      now: clock.now(),
    });
  const [likely, actual] = await Promise.all([make(config.trustDomain), trustDomain()]);
  return actual === config.trustDomain ? likely : await make(actual);
}

function materialOf({ data }: KubeObject): CaMaterial | undefined {
  return caFromData(
    Object.fromEntries(
      Object.entries(data ?? {}).map(([key, value]) => [key, Buffer.from(String(value), "base64").toString()]),
    ),
  );
}

function encode(data: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString("base64")]));
}
