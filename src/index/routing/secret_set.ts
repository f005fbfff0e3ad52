import type { TlsSecret } from "../../model/l7.ts";
import { rootsSecret, secretName, serverSecret } from "./secrets.ts";
import type { World } from "./world.ts";

/** The secrets that one proxy is sent: what its listeners and destinations name, and nothing else. */
export class SecretSet {
  readonly #world: World;
  readonly #namespace: string;
  readonly #found = new Map<string, TlsSecret>();

  /** `namespace`: the proxy's, where credential names are looked up. */
  constructor(world: World, namespace: string) {
    this.#world = world;
    this.#namespace = namespace;
  }

  values(): Iterable<TlsSecret> {
    return this.#found.values();
  }

  /** Takes a secret that has been judged already; its name. */
  add(secret: TlsSecret): string {
    this.#found.set(secret.name, secret);
    return secret.name;
  }

  /** The certificate and key under a credential name. */
  server(name: string): TlsSecret | undefined {
    const object = this.#world.inputs.secrets.get(`${this.#namespace}/${name}`);
    return object && serverSecret(object);
  }

  /** The roots for a credential name: of the Secret `<name>-cacert`, else of the Secret itself. */
  roots(name: string): TlsSecret | undefined {
    const { secrets } = this.#world.inputs, resource = `${secretName(this.#namespace, name)}-cacert`;
    const own = secrets.get(`${this.#namespace}/${name}-cacert`), other = secrets.get(`${this.#namespace}/${name}`);
    return (own && rootsSecret(own, resource)) ?? (other && rootsSecret(other, resource));
  }

  /** For a DestinationRule: the client's certificate with the roots, or the roots alone; undefined when there is neither. */
  credential(name: string): string | undefined {
    const server = this.server(name), roots = this.roots(name);
    if (!server) return roots && this.add(roots);
    return this.add(roots && server.ca === undefined ? { ...server, ca: roots.ca } : server);
  }
}
