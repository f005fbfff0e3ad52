import type { Logger } from "../../src/telemetry/logger.ts";
import { Logger as RealLogger } from "../../src/telemetry/logger.ts";
import type { AuthorizationPolicy } from "../../src/model/policy.ts";
import type { Service, Workload } from "../../src/model/workload.ts";
import { addressType, authorizationType, DeltaXdsClient, ztunnelNode } from "../../src/xds/client/mod.ts";
import type { ControlPlaneOptions } from "../../src/identity/control_plane.ts";

const quiet: Logger = new RealLogger("xds", { sink: { write: () => {} } });

/** A ztunnel's view of the mesh, by the project's own xDS client. */
export class XdsView implements AsyncDisposable {
  readonly workloads = new Map<string, Workload>();
  readonly services = new Map<string, Service>();
  readonly policies = new Map<string, AuthorizationPolicy>();
  readonly client: DeltaXdsClient;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(options: ControlPlaneOptions, pod = "ztunnel-1", node = "n1") {
    this.client = new DeltaXdsClient({
      ...options,
      logger: quiet,
      node: ztunnelNode({ podName: pod, podNamespace: "istio-system", nodeName: node, env: {} }),
      reconnect: { firstMs: 20, maxMs: 200 },
      types: [
        addressType(({ added, removed }) => {
          for (const name of removed) if (!this.workloads.delete(name)) this.services.delete(name);
          for (const { name, value } of added) {
            if (value.kind === "workload") this.workloads.set(name, value.workload);
            else this.services.set(name, value.service);
          }
        }),
        authorizationType(({ added, removed }) => {
          for (const name of removed) this.policies.delete(name);
          for (const { name, value } of added) this.policies.set(name, value);
        }),
      ],
    });
    this.#done = this.client.run(this.#stop.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }
}

/** How a ztunnel reaches an istiod of a test. */
export function controlPlane(port: number, root: string, token: string): ControlPlaneOptions {
  return {
    address: `https://127.0.0.1:${port}`,
    rootCa: root,
    altHostname: "localhost",
    token,
    clusterId: "Kubernetes",
  };
}
