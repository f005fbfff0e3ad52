import { request as httpsRequest } from "node:https";
import type { IncomingMessage } from "node:http";
import { ApiError } from "../../../src/cluster/api_error.ts";
import { type ApiServer, startApiServer } from "../../../src/cluster/api/server.ts";
import type {
  ExecSession,
  KubeObject,
  LogOptions,
  PodBackend,
  PodConnection,
  PodUsage,
} from "../../../src/cluster/contracts.ts";
import { Logger, LogLevels } from "../../../src/telemetry/logger.ts";

export const PODS = { group: "", resource: "pods" };
export const SERVICES = { group: "", resource: "services" };
export const CONFIG_MAPS = { group: "", resource: "configmaps" };
export const DEPLOYMENTS = { group: "apps", resource: "deployments" };
export const NAMESPACES = { group: "", resource: "namespaces" };
export const SERVICE_ACCOUNTS = { group: "", resource: "serviceaccounts" };
export const CRDS = { group: "apiextensions.k8s.io", resource: "customresourcedefinitions" };

export interface Answer {
  code: number;
  headers: IncomingMessage["headers"];
  text: string;
  /** Parsed where the answer is JSON. */
  body: any;
}

export interface RequestOptions {
  body?: unknown;
  type?: string;
  headers?: Record<string, string>;
  /** Bearer token; the administrator's unless given, none for null. */
  token?: string | null;
  /** The API's unless given. */
  port?: number;
}

/** A server of its own in a temporary directory, and a plain HTTPS client for it. */
export class TestServer implements AsyncDisposable {
  private constructor(
    readonly server: ApiServer,
    readonly dir: string,
    readonly port: number,
    readonly backend: FakeBackend,
    /** Where it answers as the kubelet of `node-0`. */
    readonly kubeletPort: number,
  ) {}

  static async start(options: { now?: () => number } = {}): Promise<TestServer> {
    const dir = await Deno.makeTempDir({ prefix: "ambientd-api-" });
    const backend = new FakeBackend();
    const server = await startApiServer({
      dataDir: dir,
      listen: [{ hostname: "127.0.0.1", port: 0 }, { hostname: "127.0.0.1", port: 0, kubelet: "node-0" }],
      log: new Logger("apiserver", { levels: new LogLevels("off") }),
      backend,
      clock: options.now ? { now: options.now } : undefined,
    });
    const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace: "default" } };
    server.api.create(SERVICE_ACCOUNTS, account);
    const [api, kubelet] = server.addresses as { port: number }[];
    return new TestServer(server, dir, api.port, backend, kubelet.port);
  }

  get api(): ApiServer["api"] {
    return this.server.api;
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  get caPem(): string {
    return this.server.adminKubeconfig(this.url).caPem;
  }

  /** Opens a request; the caller reads the answer. */
  open(
    method: string,
    path: string,
    { body, type, headers = {}, token = this.server.adminToken, port = this.port }: RequestOptions = {},
  ): Promise<IncomingMessage> {
    const payload = body === undefined
      ? undefined
      : typeof body === "string" || body instanceof Uint8Array
      ? body
      : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const request = httpsRequest(
        {
          host: "127.0.0.1",
          port,
          method,
          path,
          ca: this.caPem,
          agent: false,
          headers: {
            ...(token === null ? {} : { authorization: `Bearer ${token}` }),
            ...(payload === undefined ? {} : {
              "content-type": type ?? "application/json",
              "content-length": String(
                typeof payload === "string" ? new TextEncoder().encode(payload).length : payload.length,
              ),
            }),
            ...headers,
          },
        },
        resolve,
      );
      request.on("error", reject);
      request.end(payload);
    });
  }

  async call(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const response = await this.open(method, path, options);
    const chunks: Uint8Array[] = [];
    for await (const chunk of response) chunks.push(chunk);
    const text = new TextDecoder().decode(concat(chunks));
    const json = String(response.headers["content-type"]).startsWith("application/json");
    return {
      code: response.statusCode!,
      headers: response.headers,
      text,
      body: json && text !== "" ? JSON.parse(text) : undefined,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    await Deno.remove(this.dir, { recursive: true });
  }
}

function concat(chunks: Uint8Array[]): Uint8Array {
  const result = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    result.set(chunk, at);
    at += chunk.length;
  }
  return result;
}

export function pod(name: string, labels: Record<string, string> = {}): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels },
    spec: { containers: [{ name: "main", image: "sleep:1" }] },
  };
}

export function deployment(name: string): KubeObject {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "default", labels: { app: name } },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "main", image: "sleep:1" }] } },
    },
  };
}

/** Creates a pod that counts as running on a node. */
export function runningPod(test: TestServer, name: string): KubeObject {
  const created = test.api.create(PODS, { ...pod(name), spec: { ...pod(name).spec, nodeName: "node-1" } });
  return test.api.update(PODS, { ...created, status: { phase: "Running" } }, { subresource: "status" });
}

/** Waits until `check` gives something. */
export async function eventually<T>(check: () => T | undefined | false, what: string): Promise<T> {
  const deadline = Date.now() + 10_000;
  while (Date.now() < deadline) {
    const found = check();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`waited in vain for ${what}`);
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Runs nothing: answers with what it was asked. `cat` echoes, `exit N` ends so, port 7 echoes, others refuse. */
export class FakeBackend implements PodBackend {
  readonly killed: string[] = [];
  openFollowers = 0;

  logs(namespace: string, name: string, container: string, options: LogOptions): ReadableStream<Uint8Array> {
    if (options.previous) {
      throw ApiError.badRequest(`previous terminated container "${container}" in pod "${name}" not found`);
    }
    const count = (by: number) => void (this.openFollowers += by);
    return new ReadableStream({
      start(controller) {
        controller.enqueue(bytes(`${namespace}/${name}/${container} tail=${options.tailLines ?? "all"}\n`));
        if (options.follow) count(1);
        else controller.close();
      },
      cancel: () => count(-1),
    });
  }

  async exec(
    _namespace: string,
    name: string,
    _container: string,
    command: string[],
    options: { stdin: boolean },
  ): Promise<ExecSession> {
    if (command[0] === "missing") {
      throw new ApiError(500, "InternalError", `exec: "missing": executable file not found in $PATH`);
    }
    const exit = Promise.withResolvers<number>();
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const kill = () => {
      this.killed.push(name);
      exit.resolve(137);
    };
    if (command[0] === "cat" && options.stdin) {
      const [stdout, watched] = readable.tee();
      watched.pipeTo(new WritableStream()).then(() => exit.resolve(0), () => exit.resolve(1));
      return { stdin: writable, stdout, resize: () => {}, exit: exit.promise, kill };
    }
    const say = (text: string) =>
      new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(bytes(text));
          controller.close();
        },
      });
    await writable.abort();
    if (command[0] !== "sleep") exit.resolve(command[0] === "exit" ? Number(command[1]) : 0);
    return { stdout: say(`out ${command.join(" ")}`), stderr: say("err"), resize: () => {}, exit: exit.promise, kill };
  }

  attach(
    namespace: string,
    name: string,
    container: string,
    options: { stdin: boolean },
  ): Promise<ExecSession> {
    return this.exec(namespace, name, container, options.stdin ? ["cat"] : ["attached"], options);
  }

  usage(): PodUsage[] {
    const containers = [{ name: "c", cpuNanocores: 2_500_000, cpuSeconds: 1.5, memoryBytes: 3 << 20 }];
    return [{ namespace: "default", pod: "p", node: "node-0", atMs: 0, windowMs: 15_000, containers }];
  }

  dial(_namespace: string, _name: string, port: number): Promise<PodConnection> {
    if (port !== 7) return Promise.reject(new Error(`connection to port ${port} refused`));
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    return Promise.resolve({ readable, writable, close: () => void writable.abort().catch(() => {}) });
  }
}
