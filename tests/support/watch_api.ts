// A Kubernetes API over TLS that a test holds in its hand: lists and watches one collection after another, and expires, cuts,
// stalls or refuses as the test says. What depends on the API's real semantics is tested against the embedded one.

import { createServer, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { CertificateAuthority } from "../../src/identity/authority.ts";
import { newSelfSignedCa } from "../../src/identity/ca_material.ts";
import { KubeClient, type KubeClientOptions } from "../../src/kube/client.ts";
import type { KubeObject } from "../../src/kube/types.ts";

interface Event {
  type: string;
  object: any;
}

interface Watch {
  readonly path: string;
  readonly query: URLSearchParams;
  send(event: Event): void;
  end(): void;
  cut(): void;
}

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly authorization: string | null;
  readonly contentType: string | null;
  /** Of the caller to be taken for. */
  readonly impersonated: readonly string[];
  readonly body: any;
}

/** The keys are made once for all tests of a process. */
let identity: Promise<{ caPem: string; chainPem: string; keyPem: string }> | undefined;

async function makeIdentity(): Promise<{ caPem: string; chainPem: string; keyPem: string }> {
  const key = { kind: "EC", curve: "P-256" } as const;
  const ca = await newSelfSignedCa({ trustDomain: "kube", ttlMs: 3600_000, key, now: Date.now() });
  const serving = await new CertificateAuthority(ca).servingCertificate([{ ip: "127.0.0.1" }], 3600_000, key);
  return { caPem: ca.rootPem, ...serving };
}

export class WatchApi implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  readonly watches = new Set<Watch>();
  /** Answers before anything else; undefined goes on. */
  intercept?: (request: SeenRequest) => Response | Promise<Response> | undefined;
  /** By collection path, such as `/api/v1/pods`; a path that is not there is not served. */
  readonly #collections = new Map<string, Map<string, any>>();
  readonly #history: (Event & { path: string; version: number })[] = [];
  #version = 100;
  /** Versions up to this are expired. */
  #expired = 0;
  readonly #server: Server;
  url = "";

  private constructor(readonly caPem: string, cert: string, key: string) {
    this.#server = createServer({ cert, key }, (request, response) => {
      // Who hangs up in the middle gets no answer.
      this.#serve(request, response).catch(() => response.destroy());
    });
  }

  static async start(...paths: string[]): Promise<WatchApi> {
    const { caPem, chainPem, keyPem } = await (identity ??= makeIdentity());
    const api = new WatchApi(caPem, chainPem, keyPem);
    for (const path of paths) api.define(path);
    await new Promise<void>((resolve) => api.#server.listen(0, "127.0.0.1", resolve));
    api.url = `https://127.0.0.1:${(api.#server.address() as AddressInfo).port}`;
    return api;
  }

  client(options?: KubeClientOptions): KubeClient {
    return new KubeClient({ server: this.url, caPem: this.caPem, token: "t" }, options);
  }

  define(path: string): void {
    this.#collections.set(path, new Map());
  }

  /** Stops serving a type: its watches end. */
  undefine(path: string): void {
    this.#collections.delete(path);
    for (const watch of this.watches) if (watch.path === path) watch.end();
  }

  /** Stores an object and tells watchers; silent changes are for the next list to find. */
  set(path: string, object: any, options: { silent?: boolean } = {}): any {
    const objects = this.#collections.get(path)!, key = keyOf(object), old = objects.get(key);
    const version = ++this.#version;
    const stored = {
      ...object,
      metadata: { uid: old?.metadata.uid ?? `uid-${version}`, ...object.metadata, resourceVersion: String(version) },
    };
    objects.set(key, stored);
    if (!options.silent) this.#tell(path, { type: old ? "MODIFIED" : "ADDED", object: stored }, version);
    return stored;
  }

  delete(path: string, object: any, options: { silent?: boolean } = {}): void {
    const objects = this.#collections.get(path)!, old = objects.get(keyOf(object));
    objects.delete(keyOf(object));
    const version = ++this.#version;
    const last = { ...old, metadata: { ...old.metadata, resourceVersion: String(version) } };
    if (!options.silent) this.#tell(path, { type: "DELETED", object: last }, version);
  }

  /** From now on, versions seen so far are too old to watch from. */
  expire(): void {
    this.#expired = ++this.#version;
    this.#history.length = 0;
  }

  bookmark(path: string): void {
    const object = { kind: "Bookmark", metadata: { resourceVersion: String(++this.#version) } };
    for (const watch of this.watches) if (watch.path === path) watch.send({ type: "BOOKMARK", object });
  }

  /** Breaks all watches off without an end. */
  cut(): void {
    for (const watch of this.watches) watch.cut();
  }

  count(method: string, path: string, watch?: boolean): number {
    return this.requests.filter((request) =>
      request.method === method && request.path === path &&
      (watch === undefined || (request.query.get("watch") === "true") === watch)
    ).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.watches) watch.end();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #tell(path: string, event: Event, version: number): void {
    this.#history.push({ ...event, path, version });
    for (const watch of this.watches) if (watch.path === path) watch.send(event);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, this.url), chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = await new Blob(chunks as BlobPart[]).text(), { headers } = request;
    const seen: SeenRequest = {
      method: request.method!,
      path: url.pathname,
      query: url.searchParams,
      authorization: headers.authorization ?? null,
      contentType: headers["content-type"] ?? null,
      impersonated: [headers["impersonate-user"], headers["impersonate-group"]].flat().filter((name) =>
        name !== undefined
      ),
      body: text === "" ? undefined : JSON.parse(text),
    };
    this.requests.push(seen);
    const answer = await this.intercept?.(seen);
    if (!answer && seen.method === "GET" && this.#collections.has(seen.path) && seen.query.get("watch") === "true") {
      return this.#watch(seen.path, seen.query, response);
    }
    const { status, headers: fields, body } = answer ?? this.#answer(seen);
    response.writeHead(status, Object.fromEntries(fields));
    response.end(body === null ? "" : await new Response(body).text());
  }

  #answer({ method, path, query }: SeenRequest): Response {
    const objects = this.#collections.get(path);
    if (!objects || method !== "GET") return status(404, "NotFound", "the server could not find the resource");
    const all = [...objects.values()], from = Number(query.get("continue") ?? 0);
    const limit = Number(query.get("limit") ?? all.length);
    const more = from + limit < all.length;
    return Response.json({
      kind: "List",
      metadata: { resourceVersion: String(this.#version), ...(more ? { continue: String(from + limit) } : {}) },
      items: all.slice(from, from + limit),
    });
  }

  #watch(path: string, query: URLSearchParams, response: ServerResponse): void {
    const since = Number(query.get("resourceVersion"));
    const watch: Watch = {
      path,
      query,
      send: (event) => void response.write(JSON.stringify(event) + "\n"),
      end: () => this.watches.delete(watch) && response.end(),
      cut: () => this.watches.delete(watch) && response.destroy(),
    };
    this.watches.add(watch);
    response.on("close", () => this.watches.delete(watch));
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    if (since < this.#expired) {
      watch.send({ type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired", message: "too old" } });
      return watch.end();
    }
    for (const event of this.#history) if (event.path === path && event.version > since) watch.send(event);
  }
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}

/** A `Status` of failure. */
export function status(code: number, reason: string, message: string): Response {
  return Response.json({ kind: "Status", status: "Failure", code, reason, message }, { status: code });
}
