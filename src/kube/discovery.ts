import type { KubeClient } from "./client.ts";
import { isApiStatus } from "./errors.ts";
import type { Resource } from "./resources.ts";

/** What an API serves, asked group by group and remembered for a few seconds. */
export class Discovery {
  readonly #client: KubeClient;
  readonly #keepMs: number;
  readonly #asked = new Map<string, { at: number; types: Promise<Resource[]> }>();

  constructor(client: KubeClient, options: { keepMs?: number } = {}) {
    this.#client = client;
    this.#keepMs = options.keepMs ?? 5_000;
  }

  /** The types of `v1` or `group/version`, subresources left out; none when it is not served. */
  types(apiVersion: string): Promise<Resource[]> {
    const known = this.#asked.get(apiVersion);
    if (known && Date.now() - known.at < this.#keepMs) return known.types;
    const types = this.#ask(apiVersion);
    this.#asked.set(apiVersion, { at: Date.now(), types });
    types.catch(() => this.#asked.delete(apiVersion));
    return types;
  }

  /** The type of a kind, as YAML names it; undefined when it is not served. */
  async find(apiVersion: string, kind: string): Promise<Resource | undefined> {
    return (await this.types(apiVersion)).find((type) => type.kind === kind);
  }

  async #ask(apiVersion: string): Promise<Resource[]> {
    const cut = apiVersion.indexOf("/");
    const group = cut < 0 ? "" : apiVersion.slice(0, cut), version = apiVersion.slice(cut + 1);
    try {
      const list = await this.#client.request("GET", group === "" ? `/api/${version}` : `/apis/${apiVersion}`);
      return (list.resources ?? []).filter(({ name }: { name: string }) => !name.includes("/")).map((
        { name, kind, namespaced }: { name: string; kind: string; namespaced: boolean },
      ) => ({ group, version, resource: name, kind, namespaced }));
    } catch (error) {
      if (isApiStatus(error, 404)) return [];
      throw error;
    }
  }
}
