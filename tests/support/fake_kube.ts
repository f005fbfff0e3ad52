// A Kubernetes API of few words for tests of commands: stores what is applied, lists by label, watches, deletes, and
// forwards ports to handlers. It validates nothing.

export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly contentType: string | null;
  readonly authorization: string | null;
}

type Json = Record<string, any>;

/** Answers one HTTP request that came through a port-forward. */
export type PodHandler = (method: string, path: string) => { status?: number; body: string };

export interface FakeKubeOptions {
  /** Kinds that are not served, by plural. */
  unserved?: string[];
  /** Whether workloads become ready as soon as they are stored. */
  autoReady?: boolean;
  version?: { major: string; minor: string; gitVersion: string };
}

export class FakeKube implements AsyncDisposable {
  readonly requests: FakeRequest[] = [];
  readonly objects = new Map<string, Json>();
  /** By `namespace/pod:port`. */
  readonly pods = new Map<string, PodHandler>();
  /** Decides on requests before they are served; an answer ends them. */
  intercept?: (request: FakeRequest, body: any) => Response | undefined;
  readonly #options: FakeKubeOptions;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #watches = new Set<{ collection: string; send(event: Json): void; end(): void }>();
  readonly #sockets = new Set<WebSocket>();
  #generation = 0;

  constructor(options: FakeKubeOptions = {}) {
    this.#options = options;
    this.#server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: () => {} },
      (request) => this.#serve(request),
    );
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** A kubeconfig that leads here. */
  kubeconfig(): string {
    return JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "fake",
      contexts: [{ name: "fake", context: { cluster: "fake", user: "fake" } }],
      clusters: [{ name: "fake", cluster: { server: this.url } }],
      users: [{ name: "fake", user: { token: "fake-token" } }],
    });
  }

  /** Stores an object at `/api/v1/namespaces/x/pods/y` and tells watchers. */
  put(path: string, object: Json): void {
    const known = this.objects.has(path);
    this.objects.set(path, object);
    const collection = path.slice(0, path.lastIndexOf("/"));
    for (const watch of this.#watches) {
      if (watch.collection === collection) watch.send({ type: known ? "MODIFIED" : "ADDED", object });
    }
  }

  remove(path: string): void {
    this.objects.delete(path);
  }

  /** Makes a stored Deployment or DaemonSet ready. */
  ready(path: string): void {
    this.put(path, withReadyStatus(this.objects.get(path)!));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches) watch.end();
    for (const socket of this.#sockets) socket.close();
    await this.#server.shutdown();
  }

  async #serve(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const record: FakeRequest = {
      method: request.method,
      path: url.pathname,
      query: url.searchParams,
      contentType: request.headers.get("content-type"),
      authorization: request.headers.get("authorization"),
    };
    this.requests.push(record);
    if (request.headers.get("upgrade") === "websocket") return this.#portForward(request, url);
    const text = await request.text();
    const body = text === "" ? undefined : JSON.parse(text);
    const intercepted = this.intercept?.(record, body);
    if (intercepted) return intercepted;
    if (this.#options.unserved?.some((plural) => url.pathname.split("/").includes(plural))) return notFound();
    if (url.pathname === "/version") {
      return Response.json(this.#options.version ?? { major: "1", minor: "34", gitVersion: "v1.34.0" });
    }
    switch (request.method) {
      case "PATCH":
        return this.#store(url, url.pathname, body);
      case "POST": {
        const path = `${url.pathname}/${body.metadata?.name ?? crypto.randomUUID()}`;
        if (this.objects.has(path)) return failure(409, "AlreadyExists", "already exists");
        return this.#store(url, path, body);
      }
      case "DELETE": {
        const object = this.objects.get(url.pathname);
        if (!object) return notFound();
        if (!body?.dryRun) this.remove(url.pathname);
        return Response.json(object);
      }
      default:
        return this.#get(url);
    }
  }

  #store(url: URL, path: string, body: Json): Response {
    let object = { ...body, metadata: { ...body.metadata, generation: ++this.#generation } };
    if (body.kind === "CustomResourceDefinition") {
      object = { ...object, status: { conditions: [{ type: "Established", status: "True" }] } } as any;
    }
    if (this.#options.autoReady && /^(Deployment|DaemonSet)$/.test(body.kind)) object = withReadyStatus(object) as any;
    if (!url.searchParams.has("dryRun")) this.put(path, object);
    return Response.json(object);
  }

  #get(url: URL): Response {
    const object = this.objects.get(url.pathname);
    if (object) return Response.json(object);
    const collection = /\/namespaces\/[^/]+\/[^/]+$|\/(api\/v1|apis\/[^/]+\/[^/]+)\/[^/]+$/.test(url.pathname);
    if (!collection) return notFound();
    if (url.searchParams.has("watch")) return this.#watch(url.pathname);
    return Response.json({ kind: "List", apiVersion: "v1", items: this.#list(url) });
  }

  #list(url: URL): Json[] {
    const plural = url.pathname.split("/").at(-1)!;
    const namespace = /\/namespaces\/([^/]+)\//.exec(url.pathname)?.[1];
    const root = /^\/(api\/v1|apis\/[^/]+\/[^/]+)/.exec(url.pathname)![0];
    const wanted = (url.searchParams.get("labelSelector") ?? "").split(",").filter(Boolean).map((part) =>
      part.split("=")
    );
    return [...this.objects].filter(([path, object]) =>
      path.startsWith(root) && path.split("/").at(-2) === plural &&
      (!namespace || object.metadata.namespace === namespace) &&
      wanted.every(([key, value]) =>
        value === undefined ? key in (object.metadata.labels ?? {}) : object.metadata.labels?.[key] === value
      )
    ).map(([, object]) => object);
  }

  #watch(collection: string): Response {
    const encoder = new TextEncoder();
    let watch: { collection: string; send(event: Json): void; end(): void };
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        watch = {
          collection,
          send: (event) => controller.enqueue(encoder.encode(JSON.stringify(event) + "\n")),
          end: () => {
            this.#watches.delete(watch);
            try {
              controller.close();
            } catch {
              // The client has gone.
            }
          },
        };
        this.#watches.add(watch);
        for (const [path, object] of this.objects) {
          if (path.slice(0, path.lastIndexOf("/")) === collection) watch.send({ type: "ADDED", object });
        }
      },
      cancel: () => {
        this.#watches.delete(watch);
      },
    });
    return new Response(body, { headers: { "content-type": "application/json" } });
  }

  #portForward(request: Request, url: URL): Response {
    const [, namespace, pod] = /\/namespaces\/([^/]+)\/pods\/([^/]+)\/portforward$/.exec(url.pathname) ?? [];
    const port = Number(url.searchParams.get("ports"));
    const handler = this.pods.get(`${namespace}/${pod}:${port}`);
    const { socket, response } = Deno.upgradeWebSocket(request, { protocol: "v4.channel.k8s.io", idleTimeout: 0 });
    socket.binaryType = "arraybuffer";
    this.#sockets.add(socket);
    const send = (channel: number, bytes: Uint8Array) => socket.send(Uint8Array.of(channel, ...bytes));
    socket.onopen = () => {
      send(0, Uint8Array.of(port & 255, port >> 8));
      send(1, Uint8Array.of(port & 255, port >> 8));
      if (!handler) send(1, new TextEncoder().encode(`connection to port ${port} refused`));
    };
    socket.onmessage = ({ data }) => {
      if (!handler) return;
      const text = new TextDecoder().decode(new Uint8Array(data as ArrayBuffer).subarray(1));
      const [method, path] = text.split(" ");
      const { status = 200, body } = handler(method, path);
      const bytes = new TextEncoder().encode(
        `HTTP/1.1 ${status} X\r\ncontent-length: ${new TextEncoder().encode(body).length}\r\n\r\n${body}`,
      );
      for (let at = 0; at < bytes.length; at += 1000) send(0, bytes.subarray(at, at + 1000));
    };
    socket.onclose = () => this.#sockets.delete(socket);
    return response;
  }
}

function withReadyStatus(object: Json): Json {
  const status = object.kind === "DaemonSet"
    ? { desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2, numberReady: 2 }
    : { replicas: 1, updatedReplicas: 1, availableReplicas: 1, readyReplicas: 1 };
  return { ...object, status: { observedGeneration: object.metadata.generation, ...status } };
}

function failure(code: number, reason: string, message: string): Response {
  return Response.json({ kind: "Status", apiVersion: "v1", status: "Failure", reason, code, message }, {
    status: code,
  });
}

function notFound(): Response {
  return failure(404, "NotFound", "the server could not find the requested resource");
}
