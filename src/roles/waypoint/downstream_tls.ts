import { describeError } from "../../core/errors.ts";
import { MeshError } from "../../core/errors.ts";
import type { L7Listener, TlsSecret } from "../../model/mod.ts";
import { type TlsCertificate, TlsContext } from "../../net/tls_context.ts";
import type { Logger } from "../../telemetry/logger.ts";

const HTTP_ALPN = ["h2", "http/1.1"];

/**
 * TLS settings for terminating listeners, made from secrets as they are now: a connection that comes after a secret has changed uses the
 * new certificate, older ones keep theirs.
 */
export class ServerContexts {
  readonly #secret: (name: string) => TlsSecret | undefined;
  readonly #logger: Logger;
  /** By the first certificate, then by options: forgotten together with the secrets. */
  readonly #contexts = new WeakMap<TlsSecret, Map<string, Made>>();

  constructor(secret: (name: string) => TlsSecret | undefined, logger: Logger) {
    this.#secret = secret;
    this.#logger = logger;
  }

  /**
   * The settings of a listener, with all its certificates: clients get one that they can verify, as RSA or ECDSA. Undefined when no
   * certificate, or not the authority for its clients, is there and usable.
   */
  get(listener: L7Listener): TlsContext | undefined {
    const { tls } = listener;
    if (!tls) return undefined;
    const secrets = tls.secrets.map((name) => this.#secret(name)).filter((secret) =>
      secret !== undefined && secret.certificateChain !== ""
    ) as TlsSecret[];
    return secrets.length === 0 ? undefined : this.#of(listener, secrets) ?? undefined;
  }

  #of(listener: L7Listener, secrets: readonly TlsSecret[]): TlsContext | null {
    const { mode, caSecret, minVersion } = listener.tls!;
    const http = listener.protocol === "HTTPS";
    const ca = mode === "SIMPLE"
      ? undefined
      : caSecret === undefined
      ? secrets.find((secret) => secret.ca) ?? secrets[0]
      : this.#secret(caSecret);
    // Without the authority nobody's certificate could be checked, and nobody is let in.
    if (mode !== "SIMPLE" && !ca?.ca) return null;
    const key = `${mode} ${minVersion} ${http} ${caSecret ?? ""}`, [first, ...others] = secrets, from = [...others, ca];
    let made = this.#contexts.get(first);
    if (!made) this.#contexts.set(first, made = new Map());
    const known = made.get(key);
    if (known && known.from.length === from.length && known.from.every((one, i) => one === from[i])) {
      return known.context;
    }
    let context: TlsContext | null = null;
    try {
      context = new TlsContext(
        "server",
        { ...certificateOf(first), others: others.map(certificateOf), rootsPem: ca?.ca ?? "" },
        {
          alpn: http ? HTTP_ALPN : [],
          mutual: mode === "MUTUAL" ? true : mode === "OPTIONAL_MUTUAL" ? "optional" : false,
          minVersion,
        },
      );
    } catch (error) {
      this.#logger.error("cannot use a certificate", {
        secret: secrets.map(({ name }) => name).join(" "),
        listener: listener.name,
        error: describeError(error),
      });
    }
    made.set(key, { from, context });
    return context;
  }
}

/** A context, and what beside the first certificate went into it. */
interface Made {
  readonly from: readonly (TlsSecret | undefined)[];
  readonly context: TlsContext | null;
}

function certificateOf({ certificateChain, privateKey }: TlsSecret): TlsCertificate {
  return { chainPem: certificateChain, keyPem: privateKey };
}

/** Why a secret cannot be used at all; undefined when it can. */
export function secretProblem(secret: TlsSecret): string | undefined {
  // One that holds authorities alone is for checking others.
  if (secret.certificateChain === "" && secret.privateKey === "") {
    return secret.ca ? undefined : "it holds neither a certificate nor an authority";
  }
  try {
    new TlsContext("server", {
      ...certificateOf(secret),
      rootsPem: "",
    }, { mutual: false, minVersion: "TLSv1_2" });
    return undefined;
  } catch (error) {
    return error instanceof MeshError ? error.message : describeError(error);
  }
}
