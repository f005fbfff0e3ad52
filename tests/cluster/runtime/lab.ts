// What a scenario sees: a cluster of two nodes inside the engine process, with the real API server and controllers.

import assert from "node:assert/strict";
import { startApiServer } from "../../../src/cluster/api/server.ts";
import type { ClusterApi, KubeObject, LogOptions } from "../../../src/cluster/contracts.ts";
import { startControllers } from "../../../src/cluster/controllers/mod.ts";
import { createFabric, type Runtime, startRuntime } from "../../../src/cluster/runtime/mod.ts";
import { CHECKOUT } from "../../../src/core/self.ts";
import { Logger, LogLevels } from "../../../src/telemetry/logger.ts";
import { eventually } from "../../support/eventually.ts";

export const NODES = ["lab-control-plane", "lab-worker"];
const PODS = { group: "", resource: "pods" };

export interface ExecResult {
  code: number;
  stdout: string;
  stderr: string;
}

export class Lab {
  private constructor(
    readonly dataDir: string,
    readonly api: ClusterApi,
    public runtime: Runtime,
    readonly startAgain: () => Promise<Runtime>,
    readonly close: () => Promise<void>,
  ) {}

  static async start(dataDir: string): Promise<Lab> {
    const log = new Logger("lab", { levels: new LogLevels("error") });
    await createFabric();
    const server = await startApiServer({ dataDir, listen: [{ hostname: "172.18.0.1", port: 6443 }], log });
    const { caPem } = server.adminKubeconfig("https://172.18.0.1:6443");
    const { api, tokens } = server;
    const stopControllers = await startControllers({ api, tokens, caPem, log });
    const start = () =>
      startRuntime({
        ...{ api, tokens, dataDir, nodes: NODES, checkout: CHECKOUT, clusterCaPem: caPem, log },
        restartDelayMs: 100,
      });
    const lab: Lab = new Lab(dataDir, api, await start(), start, async () => {
      await stopControllers();
      await lab.runtime.stop();
      await server.close();
    });
    server.setBackend(lab.runtime.backend);
    await lab.until(() => assert.ok(api.get({ group: "", resource: "serviceaccounts" }, "default", "default")));
    return lab;
  }

  until<T>(check: () => T | Promise<T>): Promise<T> {
    return eventually(check, 20_000);
  }

  pod(name: string, spec: any, metadata: any = {}): KubeObject {
    const { nodeName = NODES[1], ...rest } = spec;
    return this.api.create(PODS, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default", ...metadata },
      spec: { nodeName, terminationGracePeriodSeconds: 1, ...rest },
    });
  }

  get(name: string): KubeObject {
    const pod = this.api.get(PODS, "default", name);
    assert.ok(pod, `pod ${name} exists`);
    return pod;
  }

  status(name: string): any {
    return this.get(name).status ?? {};
  }

  container(name: string): any {
    return this.status(name).containerStatuses?.[0] ?? {};
  }

  condition(name: string, type: string): string | undefined {
    return this.status(name).conditions?.find((one: any) => one.type === type)?.status;
  }

  ready(name: string): Promise<KubeObject> {
    return this.until(() => {
      assert.equal(this.condition(name, "Ready"), "True", JSON.stringify(this.status(name)));
      return this.get(name);
    });
  }

  ended(name: string): Promise<KubeObject> {
    return this.until(() => {
      assert.match(this.status(name).phase ?? "", /Succeeded|Failed/, JSON.stringify(this.status(name)));
      return this.get(name);
    });
  }

  delete(name: string, gracePeriodSeconds?: number): void {
    this.api.delete(PODS, "default", name, { gracePeriodSeconds });
  }

  gone(name: string): Promise<void> {
    return this.until(() => assert.equal(this.api.get(PODS, "default", name), undefined));
  }

  logs(name: string, options: LogOptions = {}, container = ""): Promise<string> {
    return new Response(this.runtime.backend.logs("default", name, container, options)).text();
  }

  /** Runs a shell script in a pod to its end. */
  async sh(name: string, script: string, stdin?: string): Promise<ExecResult> {
    const session = await this.runtime.backend.exec("default", name, "", ["sh", "-c", script], {
      ...{ stdin: stdin !== undefined, stdout: true, stderr: true, tty: false },
    });
    if (stdin !== undefined) {
      const writer = session.stdin!.getWriter();
      await writer.write(new TextEncoder().encode(stdin));
      await writer.close();
    }
    const [stdout, stderr] = await Promise.all(
      [session.stdout, session.stderr!].map((one) => new Response(one).text()),
    );
    return { code: await session.exit, stdout, stderr };
  }

  /** A pod that runs one script of the host's shell and ends; resolves to what it printed. */
  async script(name: string, script: string, spec: any = {}): Promise<string> {
    const { container = {}, ...rest } = spec;
    this.pod(name, {
      restartPolicy: "Never",
      ...rest,
      containers: [{ name: "c", image: "busybox", command: ["sh", "-c", script], ...container }],
    });
    await this.ended(name);
    return await this.logs(name);
  }

  events(name: string): string[] {
    return this.api.list({ group: "", resource: "events" }).filter((one) => one.involvedObject?.name === name)
      .map((one) => `${one.reason}: ${one.message}`);
  }
}

/** A container that waits for ever, or until asked to end. */
export const SLEEPER = { name: "main", image: "busybox", command: ["sleep", "infinity"] };
