// istiod as users run it: the role in a process of its own, as its service account with the RBAC of the manifests, against the
// embedded cluster's API server. No controllers run, so pods are what a test writes.

import { Buffer } from "node:buffer";
import { startApiServer } from "../../src/cluster/api/server.ts";
import { RESOURCES } from "../../src/kube/resources.ts";
import { KubeClient } from "../../src/kube/client.ts";
import type { KubeObject } from "../../src/kube/types.ts";
import { selfCommand } from "../../src/core/self.ts";
import { planInstallation } from "../../src/roles/ctl/install.ts";
import { resourceOf } from "../../src/roles/ctl/kinds.ts";
import { inInstallOrder, render } from "../../src/roles/ctl/render.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { eventually } from "./eventually.ts";

const quiet = new Logger("test", { sink: { write: () => {} } });

/** The embedded API server with the mesh's objects in it. */
export class ApiLab implements AsyncDisposable {
  private constructor(
    readonly dataDir: string,
    public server: Awaited<ReturnType<typeof startApiServer>>,
    readonly url: string,
    readonly client: KubeClient,
    /** Added to the API server's time. */
    readonly clock: { ahead: number; now(): number },
  ) {}

  /** Stops the API server; what it stores stays. */
  pause(): Promise<void> {
    return this.server.close();
  }

  /** Starts it again at the same address. */
  async resume(): Promise<void> {
    const port = Number(new URL(this.url).port);
    this.server = await startApiServer({
      dataDir: this.dataDir,
      listen: [{ hostname: "127.0.0.1", port }],
      log: quiet,
      clock: this.clock,
    });
  }

  /** Puts the definitions of istio.io's kinds in, those that are not there. */
  async installDefinitions(): Promise<void> {
    for (const object of inInstallOrder(render(planInstallation({ profile: "ambient" })))) {
      if (object.kind !== "CustomResourceDefinition") continue;
      if (await this.client.get(RESOURCES.crds, undefined, object.metadata.name)) continue;
      await this.client.create(RESOURCES.crds, object as KubeObject);
    }
  }

  static async start(options: { mesh?: boolean } = {}): Promise<ApiLab> {
    const dataDir = await Deno.makeTempDir({ prefix: "ambientd-istiod-" });
    const clock = { ahead: 0, now: () => Date.now() + clock.ahead };
    const server = await startApiServer({ dataDir, listen: [{ hostname: "127.0.0.1", port: 0 }], log: quiet, clock });
    const [address] = server.addresses;
    const url = `https://127.0.0.1:${(address as { port: number }).port}`;
    const target = server.adminKubeconfig(url);
    const lab = new ApiLab(dataDir, server, url, new KubeClient(target), clock);
    if (options.mesh ?? true) await lab.install();
    return lab;
  }

  /** What the manifests install, without anything that would run. */
  async install(): Promise<void> {
    await this.client.create(RESOURCES.namespaces, { metadata: { name: "istio-system" } });
    for (const object of inInstallOrder(render(planInstallation({ profile: "ambient" })))) {
      if (["Deployment", "DaemonSet", "HorizontalPodAutoscaler", "ResourceQuota"].includes(object.kind)) continue;
      await this.client.create(resourceOf(object.apiVersion, object.kind), object as KubeObject);
    }
  }

  /** A service account's token, bound to a pod where one is given. */
  async token(
    namespace: string,
    serviceAccount: string,
    options: { audiences?: string[]; pod?: { name: string; uid: string }; expirationSeconds?: number } = {},
  ): Promise<string> {
    const { token } = await this.server.tokens.issue({
      namespace,
      serviceAccount,
      audiences: options.audiences ?? ["istio-ca"],
      expirationSeconds: options.expirationSeconds ?? 3600,
      pod: options.pod,
    });
    return token;
  }

  /** A kubeconfig of istiod's own service account. */
  async kubeconfig(): Promise<string> {
    const path = `${this.dataDir}/istiod.kubeconfig`;
    const token = await this.token("istio-system", "istiod", {
      audiences: ["https://kubernetes.default.svc.cluster.local"],
      expirationSeconds: 24 * 3600,
    });
    await Deno.writeTextFile(
      path,
      JSON.stringify({
        "current-context": "x",
        contexts: [{ name: "x", context: { cluster: "x", user: "x" } }],
        clusters: [{
          name: "x",
          cluster: { server: this.url, "certificate-authority-data": btoa(this.server.adminKubeconfig("").caPem) },
        }],
        users: [{ name: "x", user: { token } }],
      }),
    );
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    await this.server.close();
    await Deno.remove(this.dataDir, { recursive: true });
  }

  /** A running, ready pod of `serviceAccount` on `node`. */
  async pod(
    name: string,
    options: {
      namespace?: string;
      node?: string;
      ip: string;
      serviceAccount?: string;
      labels?: Record<string, string>;
      annotations?: Record<string, string>;
      phase?: string;
    },
  ): Promise<{ name: string; uid: string }> {
    const { namespace = "default", serviceAccount = "default", node = "n1" } = options;
    if (!await this.client.get(RESOURCES.serviceAccounts, namespace, serviceAccount)) {
      await this.client.create(RESOURCES.serviceAccounts, { metadata: { namespace, name: serviceAccount } });
    }
    const made: KubeObject = await this.client.create<KubeObject>(RESOURCES.pods, {
      metadata: { namespace, name, labels: options.labels, annotations: options.annotations },
      spec: { serviceAccountName: serviceAccount, nodeName: node, containers: [{ name: "main", image: "x" }] },
    });
    const uid = made.metadata.uid!;
    await this.client.patch(RESOURCES.pods, namespace, name, "merge", {
      status: {
        phase: options.phase ?? "Running",
        podIP: options.ip,
        podIPs: [{ ip: options.ip }],
        conditions: [{ type: "Ready", status: "True" }],
      },
    }, { subresource: "status" });
    return { name, uid };
  }

  service(name: string, clusterIP: string, selector: Record<string, string>, ports: unknown[]): Promise<unknown> {
    return this.client.create(RESOURCES.services, {
      metadata: { namespace: "default", name },
      spec: { clusterIP, selector, ports },
    });
  }

  /** The root as istiod publishes it in a namespace. */
  async root(namespace = "istio-system"): Promise<string> {
    return await eventually(async () => {
      const map = await this.client.get(RESOURCES.configMaps, namespace, "istio-ca-root-cert");
      if (!map?.data?.["root-cert.pem"]) throw new Error(`no root in namespace "${namespace}"`);
      return map.data["root-cert.pem"] as string;
    });
  }
}

/** A running istiod process. */
export class IstiodProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #read: Promise<void>;
  readonly lines: string[] = [];
  ended = false;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#read = this.#collect();
    child.status.then(() => this.ended = true);
  }

  static async start(
    kubeconfig: string,
    options: { env?: Record<string, string>; flags?: string[]; name?: string } = {},
  ): Promise<IstiodProcess> {
    const [command, ...args] = selfCommand([
      "istiod",
      `--kubeconfig=${kubeconfig}`,
      ...["httpAddr", "monitoringAddr", "grpcAddr", "secureGRPCAddr"].map((flag) => `--${flag}=127.0.0.1:0`),
      "--log_output_level=default:debug",
      ...options.flags ?? [],
    ]);
    const child = new Deno.Command(command, {
      args,
      env: {
        POD_NAMESPACE: "istio-system",
        POD_NAME: options.name ?? "istiod-1",
        CA_TRUSTED_NODE_ACCOUNTS: "istio-system/ztunnel",
        ROOT_CA_DIR: "/nonexistent",
        // Reached by address here.
        ISTIOD_CUSTOM_HOST: "localhost",
        ...options.env,
      },
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    return await Promise.resolve(new IstiodProcess(child));
  }

  async #collect(): Promise<void> {
    let held = "";
    for await (const chunk of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (held + chunk).split("\n");
      held = lines.pop()!;
      this.lines.push(...lines);
    }
  }

  /** The fields of the first line with this message. */
  async line(message: string, deadlineMs = 20_000): Promise<Record<string, string>> {
    return await eventually(() => {
      const line = this.lines.find((line) => line.split("\t")[3] === message);
      if (line === undefined) throw new Error(`istiod has not said "${message}":\n${this.lines.join("\n")}`);
      const fields = [...(line.split("\t")[4] ?? "").matchAll(/(\S+?)=("(?:[^"\\]|\\.)*"|\S+)/g)];
      return Object.fromEntries(
        fields.map(([, key, value]) => [key, value.startsWith('"') ? JSON.parse(value) : value]),
      );
    }, deadlineMs);
  }

  /** Ports, once it is ready. */
  async ready(): Promise<{ http: number; monitoring: number; grpc: number; secureGrpc: number; after: string }> {
    const { http, monitoring, grpc, secureGrpc, after } = await this.line("ready");
    return {
      http: Number(http),
      monitoring: Number(monitoring),
      grpc: Number(grpc),
      secureGrpc: Number(secureGrpc),
      after,
    };
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Ends it and says how it ended. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<number> {
    if (!this.ended) this.#child.kill(signal);
    const { code } = await this.#child.status;
    await this.#read;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

export const base64 = (text: string): string => Buffer.from(text).toString("base64");
