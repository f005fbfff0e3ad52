// The least of a ClusterApi that pure parts of the runtime need: reading objects and watching them.

import type { ClusterApi, GroupResource, KubeObject } from "../../../src/cluster/contracts.ts";

type Handler = (event: "ADDED" | "MODIFIED" | "DELETED", object: KubeObject) => void;

/** Objects in memory, by resource, namespace and name. */
export class Objects {
  readonly #objects = new Map<string, KubeObject>();
  readonly #watches = new Set<{ resource: string; handler: Handler }>();

  #key(resource: string, namespace: string | undefined, name: string): string {
    return `${resource}/${namespace ?? ""}/${name}`;
  }

  put(resource: string, object: KubeObject): void {
    const key = this.#key(resource, object.metadata.namespace, object.metadata.name);
    const event = this.#objects.has(key) ? "MODIFIED" : "ADDED";
    this.#objects.set(key, object);
    for (const watch of this.#watches) if (watch.resource === resource) watch.handler(event, object);
  }

  remove(resource: string, namespace: string | undefined, name: string): void {
    const key = this.#key(resource, namespace, name), object = this.#objects.get(key);
    this.#objects.delete(key);
    if (object) {
      for (const watch of this.#watches) {
        if (watch.resource === resource) watch.handler("DELETED", object);
      }
    }
  }

  get api(): ClusterApi {
    const list = ({ resource }: GroupResource) =>
      [...this.#objects].filter(([key]) => key.startsWith(resource + "/")).map(([, object]) => object);
    return {
      get: ({ resource }: GroupResource, namespace: string | undefined, name: string) =>
        this.#objects.get(this.#key(resource, namespace, name)),
      list: (type: GroupResource, filter?: { namespace?: string }) =>
        list(type).filter((one) => !filter?.namespace || one.metadata.namespace === filter.namespace),
      watch: (type: GroupResource, handler: Handler) => {
        const watch = { resource: type.resource, handler };
        this.#watches.add(watch);
        for (const object of list(type)) handler("ADDED", object);
        return () => this.#watches.delete(watch);
      },
    } as unknown as ClusterApi;
  }
}

export function configMap(name: string, data: Record<string, string>): KubeObject {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "default" }, data };
}

export function secret(name: string, data: Record<string, string>): KubeObject {
  const encoded = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, btoa(value)]));
  return { apiVersion: "v1", kind: "Secret", metadata: { name, namespace: "default" }, data: encoded };
}
