import { describeError } from "../../core/errors.ts";
import { KubeClient as Api, type KubeClientOptions, type RequestOptions } from "../../kube/client.ts";
import { isApiStatus } from "../../kube/errors.ts";
import type { KubeTarget } from "../../kube/target.ts";
import { resourceOf } from "./kinds.ts";

export { KubeApiError } from "../../kube/errors.ts";

/** Who applies, in managedFields. */
export const FIELD_MANAGER = "istioctl";

/** Whether the API refused for want of a permission; admission refuses with 403, too. */
export function lacksPermission(error: unknown): boolean {
  return isApiStatus(error, 403) && / cannot \w+ resource /.test(error.message);
}

/** An error in words, with what to do where the API does not let the caller in. */
export function explain(error: unknown): string {
  const text = describeError(error);
  if (isApiStatus(error, 401)) {
    return `the Kubernetes API does not accept these credentials (${text}); \`kubectl auth whoami\` shows whose they are, ` +
      "and --context or --kubeconfig choose others";
  }
  if (lacksPermission(error)) {
    return `${text}; ask who runs the cluster for that permission, or choose another user by --context or --as`;
  }
  return text;
}

export type KubeJson = Record<string, any>;

/** The client of commands: objects as manifests have them, found by their apiVersion and kind. Close it when done. */
export class KubeClient {
  readonly #api: Api;

  constructor(target: KubeTarget, options: KubeClientOptions = {}) {
    this.#api = new Api(target, { timeoutMs: 15_000, ...options });
  }

  get target(): KubeTarget {
    return this.#api.target;
  }

  close(): void {
    this.#api.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** One request; see the client of src/kube. */
  request(method: string, path: string, options: RequestOptions = {}): Promise<any> {
    return this.#api.request(method, path, options);
  }

  /** Every object of a kind in a namespace, then every change, until the API ends the watch or `signal` aborts. */
  async *watch(
    apiVersion: string,
    kind: string,
    namespace: string | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<{ type: string; object: KubeJson }> {
    try {
      const type = resourceOf(apiVersion, kind);
      for await (const batch of this.#api.watch(type, { namespace, signal, resourceVersion: "" })) {
        for (const event of batch) {
          if (event.type !== "BOOKMARK") yield { type: event.type, object: { ...event.object, apiVersion, kind } };
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** The object, or undefined when there is none or its kind is not served. */
  get(apiVersion: string, kind: string, namespace: string | undefined, name: string): Promise<KubeJson | undefined> {
    return this.#api.get(resourceOf(apiVersion, kind), namespace, name);
  }

  /** Objects of a kind, in one namespace or in all; none when the kind is not served. */
  async list(
    apiVersion: string,
    kind: string,
    options: { namespace?: string; labelSelector?: string; fieldSelector?: string } = {},
  ): Promise<KubeJson[]> {
    try {
      return [...(await this.#api.list(resourceOf(apiVersion, kind), options)).items];
    } catch (error) {
      if (isApiStatus(error, 404)) return [];
      throw error;
    }
  }

  /** Server-side apply, taking over fields that others own. */
  apply(object: KubeJson, options: { dryRun?: boolean; signal?: AbortSignal } = {}): Promise<KubeJson> {
    return this.#api.apply(resourceOf(object.apiVersion, object.kind), object as any, {
      fieldManager: FIELD_MANAGER,
      dryRun: options.dryRun,
      signal: options.signal,
    });
  }

  /** Deletes in the foreground unless told otherwise; false when there is nothing to delete. */
  delete(object: KubeJson, options: { dryRun?: boolean; background?: boolean } = {}): Promise<boolean> {
    const { namespace, name } = object.metadata;
    return this.#api.delete(resourceOf(object.apiVersion, object.kind), namespace, name, {
      propagationPolicy: options.background ? "Background" : "Foreground",
      dryRun: options.dryRun,
    });
  }

  /** Opens a WebSocket to the API with this client's credentials. */
  webSocket(path: string, query: [string, string][], protocols: string[]): Promise<WebSocket> {
    return this.#api.webSocket(path, query, protocols);
  }
}
