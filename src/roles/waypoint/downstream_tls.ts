import { describeError } from "../../core/errors.ts";
import { MeshError } from "../../core/errors.ts";
import type { L7Listener, TlsSecret } from "../../model/mod.ts";
import { TlsContext } from "../../net/tls_context.ts";
import type { Logger } from "../../telemetry/logger.ts";

const HTTP_ALPN = ["h2", "http/1.1"];

/**
 * TLS settings for terminating listeners, made from secrets as they are now: a connection that comes after a secret has changed uses the
 * new certificate, older ones keep theirs.
 */
export class ServerContexts {
  readonly #secret: (name: string) => TlsSecret | undefined;
  readonly #logger: Logger;
  /** By certificate, then by authority and options: forgotten together with the secrets. */
  readonly #contexts = new WeakMap<TlsSecret, Map<string, { ca: TlsSecret | undefined; context: TlsContext | null }>>();

  constructor(secret: (name: string) => TlsSecret | undefined, logger: Logger) {
    this.#secret = secret;
    this.#logger = logger;
  }

  /** The settings of a listener; undefined when its certificate, or the authority for its clients, is not there or not usable. */
  get(listener: L7Listener): TlsContext | undefined {
    const { tls } = listener;
    if (!tls) return undefined;
    for (const name of tls.secrets) {
      const secret = this.#secret(name);
      if (secret === undefined) continue;
      const context = this.#of(listener, secret);
      if (context) return context;
    }
    return undefined;
  }

  #of(listener: L7Listener, secret: TlsSecret): TlsContext | null {
    const { mode, caSecret, minVersion } = listener.tls!;
    const http = listener.protocol === "HTTPS";
    const ca = mode === "SIMPLE" ? undefined : caSecret === undefined ? secret : this.#secret(caSecret);
    // Without the authority nobody's certificate could be checked, and nobody is let in.
    if (mode !== "SIMPLE" && !ca?.ca) return null;
    const key = `${mode} ${minVersion} ${http} ${caSecret ?? ""}`;
    let made = this.#contexts.get(secret);
    if (!made) this.#contexts.set(secret, made = new Map());
    const known = made.get(key);
    if (known && known.ca === ca) return known.context;
    let context: TlsContext | null = null;
    try {
      context = new TlsContext(
        "server",
        { chainPem: secret.certificateChain, keyPem: secret.privateKey, rootsPem: ca?.ca ?? "" },
        {
          alpn: http ? HTTP_ALPN : [],
          mutual: mode === "MUTUAL" ? true : mode === "OPTIONAL_MUTUAL" ? "optional" : false,
          minVersion,
        },
      );
    } catch (error) {
      this.#logger.error("cannot use a certificate", {
        secret: secret.name,
        listener: listener.name,
        error: describeError(error),
      });
    }
    made.set(key, { ca, context });
    return context;
  }
}

/** Why a secret cannot be used at all; undefined when it can. */
export function secretProblem(secret: TlsSecret): string | undefined {
  // One that holds authorities alone is for checking others.
  if (secret.certificateChain === "" && secret.privateKey === "") {
    return secret.ca ? undefined : "it holds neither a certificate nor an authority";
  }
  try {
    new TlsContext("server", {
      chainPem: secret.certificateChain,
      keyPem: secret.privateKey,
      rootsPem: "",
    }, { mutual: false, minVersion: "TLSv1_2" });
    return undefined;
  } catch (error) {
    return error instanceof MeshError ? error.message : describeError(error);
  }
}
