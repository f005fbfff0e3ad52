import { MeshError } from "../../core/errors.ts";
import { TlsContext } from "../../net/tls_context.ts";
import type { Destination, TlsSecret } from "../../model/mod.ts";
import { sniOf } from "./server_name.ts";

/** Where distributions keep the authorities that they trust. */
const ROOT_FILES = [
  "/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Alpine
  "/etc/pki/tls/certs/ca-bundle.crt", // Fedora, RHEL
  "/etc/ssl/ca-bundle.pem", // openSUSE
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

let systemRootsPem: string | undefined;

/**
 * The system's certificate authorities; `SSL_CERT_FILE` names others.
 *
 * @throws MeshError `tls_material` when there are none
 */
function systemRoots(): string {
  if (systemRootsPem !== undefined) return systemRootsPem;
  const own = Deno.env.get("SSL_CERT_FILE");
  for (const path of own ? [own] : ROOT_FILES) {
    try {
      return systemRootsPem = Deno.readTextFileSync(path);
    } catch {
      // The next one.
    }
  }
  throw new MeshError("tls_material", `cannot find the system's certificate authorities in "${own ?? ROOT_FILES[0]}"`);
}

/**
 * TLS contexts of one destination: by what is spoken in them, made again when the destination's secret has changed.
 */
export class UpstreamTlsContexts {
  readonly #secret: (name: string) => TlsSecret | undefined;
  readonly #contexts = new Map<string, { context: TlsContext; secret: TlsSecret | undefined; sni: string }>();

  constructor(secret: (name: string) => TlsSecret | undefined) {
    this.#secret = secret;
  }

  /** Forgets what was made for another configuration. */
  clear(): void {
    this.#contexts.clear();
  }

  /** @throws MeshError `tls_material` when the secret is missing or not usable */
  get(destination: Destination, application: "h2" | "http/1.1" | "raw"): TlsContext {
    const tls = destination.tls!;
    const secret = tls.secret === undefined ? undefined : this.#secret(tls.secret);
    if (tls.secret !== undefined && secret === undefined) {
      throw new MeshError("tls_material", `cannot originate TLS to "${destination.name}": no secret "${tls.secret}"`);
    }
    const sni = sniOf(destination);
    const known = this.#contexts.get(application);
    if (known && known.secret === secret && known.sni === sni) return known.context;
    const mutual = tls.mode === "MUTUAL";
    if (mutual && (!secret || secret.certificateChain === "")) {
      throw new MeshError("tls_material", `cannot originate mutual TLS to "${destination.name}" without a certificate`);
    }
    const context = new TlsContext("client", {
      chainPem: mutual ? secret!.certificateChain : "",
      keyPem: mutual ? secret!.privateKey : "",
      rootsPem: tls.insecureSkipVerify ? "" : secret?.ca || systemRoots(),
    }, {
      alpn: protocols(destination, application),
      mutual: !tls.insecureSkipVerify,
      minVersion: "TLSv1_2",
      serverName: sni,
    });
    this.#contexts.set(application, { context, secret, sni });
    return context;
  }
}

/** Where HTTP/2 was only the client's choice, a server that has none may say so. */
function protocols(destination: Destination, application: "h2" | "http/1.1" | "raw"): readonly string[] {
  if (application === "raw") return [];
  return application === "h2" && destination.protocol !== "HTTP2" ? ["h2", "http/1.1"] : [application];
}
