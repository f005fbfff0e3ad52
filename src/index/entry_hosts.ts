import type { Store } from "../kube/store.ts";
import type { KubeObject } from "../kube/types.ts";
import { BY } from "./inputs.ts";
import type { ServiceInfo } from "./service.ts";
import { age, allocateAddresses } from "./service_entry.ts";

/** Which ServiceEntry has a host where several claim it, and the addresses of hosts that were given none. */
export class EntryHosts {
  readonly #entries: Store<KubeObject>;
  readonly #serviceOf: (host: string) => ServiceInfo | undefined;
  #allocated: ReadonlyMap<string, string> = new Map();

  /** `serviceOf` finds the Service whose host name it is. */
  constructor(entries: Store<KubeObject>, serviceOf: (host: string) => ServiceInfo | undefined) {
    this.#entries = entries;
    this.#serviceOf = serviceOf;
  }

  /** Addresses by {@linkcode allocationKey}. */
  get allocated(): ReadonlyMap<string, string> {
    return this.#allocated;
  }

  /** Gives addresses anew; keys of the entries with a host whose address differs. */
  allocate(): Set<string> {
    const old = this.#allocated, now = allocateAddresses(this.#entries.values()), changed = new Set<string>();
    this.#allocated = now;
    for (const key of new Set([...old.keys(), ...now.keys()])) {
      if (old.get(key) !== now.get(key)) changed.add(key.slice(0, key.lastIndexOf("/")));
    }
    return changed;
  }

  /** Whether the entry is the one that its namespace knows a host by: Services go before entries, older entries before younger. */
  owns(object: KubeObject, host: string): boolean {
    const { namespace = "" } = object.metadata;
    if (this.#serviceOf(host)?.service.namespace === namespace) return false;
    return !this.#hasOlder(object, host, (other) => other.metadata.namespace === namespace);
  }

  /** Whether the entry is the one that the mesh knows a host by. */
  answersFor(object: KubeObject, host: string): boolean {
    return !this.#serviceOf(host) && !this.#hasOlder(object, host, () => true);
  }

  #hasOlder(object: KubeObject, host: string, among: (other: KubeObject) => boolean): boolean {
    for (const other of this.#entries.by(BY.host, host)) if (among(other) && age(other) < age(object)) return true;
    return false;
  }
}
